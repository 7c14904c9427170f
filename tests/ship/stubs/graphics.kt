package android.graphics

abstract class Bitmap

package android.graphics

abstract class Bitmap

abstract class RectF

package com.google.mediapipe.framework.image

import android.graphics.Bitmap

abstract class MPImage

abstract class BitmapImageBuilder {
    companion object {
        operator fun invoke(bitmap: Bitmap): BitmapImageBuilder = TODO("$bitmap")
    }

    abstract fun build(): MPImage
}

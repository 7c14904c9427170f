package com.google.mediapipe.framework.image

import android.graphics.Bitmap
import java.nio.ByteBuffer

abstract class MPImage

abstract class BitmapImageBuilder {
    companion object {
        operator fun invoke(bitmap: Bitmap): BitmapImageBuilder = TODO("$bitmap")
    }

    abstract fun build(): MPImage
}

abstract class ByteBufferExtractor {
    companion object {
        fun extract(image: MPImage): ByteBuffer = TODO("$image")
    }
}

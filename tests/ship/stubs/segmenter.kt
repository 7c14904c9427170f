package com.google.mediapipe.tasks.vision.imagesegmenter

import android.content.Context
import com.google.mediapipe.framework.image.MPImage
import com.google.mediapipe.tasks.core.BaseOptions
import com.google.mediapipe.tasks.vision.core.RunningMode
import java.util.Optional

abstract class ImageSegmenterResult {
    abstract fun categoryMask(): Optional<MPImage>
}

abstract class ImageSegmenter {
    abstract val labels: List<String>

    abstract class ImageSegmenterOptions {
        abstract class Builder {
            abstract fun setBaseOptions(value: BaseOptions): Builder

            abstract fun setRunningMode(value: RunningMode): Builder

            abstract fun setOutputCategoryMask(value: Boolean): Builder

            abstract fun setOutputConfidenceMasks(value: Boolean): Builder

            abstract fun build(): ImageSegmenterOptions
        }

        companion object {
            fun builder(): Builder = TODO()
        }
    }

    abstract fun segment(image: MPImage): ImageSegmenterResult

    companion object {
        fun createFromOptions(context: Context, options: ImageSegmenterOptions): ImageSegmenter =
            TODO("$context $options")
    }
}

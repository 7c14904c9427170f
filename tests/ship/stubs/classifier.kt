package com.google.mediapipe.tasks.vision.imageclassifier

import android.content.Context
import com.google.mediapipe.framework.image.MPImage
import com.google.mediapipe.tasks.components.containers.ClassificationResult
import com.google.mediapipe.tasks.core.BaseOptions
import com.google.mediapipe.tasks.vision.core.RunningMode

abstract class ImageClassifierResult {
    abstract fun classificationResult(): ClassificationResult
}

abstract class ImageClassifier {
    abstract class ImageClassifierOptions {
        abstract class Builder {
            abstract fun setBaseOptions(value: BaseOptions): Builder

            abstract fun setMaxResults(value: Int): Builder

            abstract fun setRunningMode(value: RunningMode): Builder

            abstract fun build(): ImageClassifierOptions
        }

        companion object {
            fun builder(): Builder = TODO()
        }
    }

    abstract fun classify(image: MPImage): ImageClassifierResult

    companion object {
        fun createFromOptions(context: Context, options: ImageClassifierOptions): ImageClassifier =
            TODO("$context $options")
    }
}

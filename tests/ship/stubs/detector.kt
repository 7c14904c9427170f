package com.google.mediapipe.tasks.vision.objectdetector

import android.content.Context
import com.google.mediapipe.framework.image.MPImage
import com.google.mediapipe.tasks.components.containers.Detection
import com.google.mediapipe.tasks.core.BaseOptions
import com.google.mediapipe.tasks.vision.core.RunningMode

abstract class ObjectDetectorResult {
    abstract fun detections(): List<Detection>
}

abstract class ObjectDetector {
    abstract class ObjectDetectorOptions {
        abstract class Builder {
            abstract fun setBaseOptions(value: BaseOptions): Builder

            abstract fun setRunningMode(value: RunningMode): Builder

            abstract fun build(): ObjectDetectorOptions
        }

        companion object {
            fun builder(): Builder = TODO()
        }
    }

    abstract fun detect(image: MPImage): ObjectDetectorResult

    companion object {
        fun createFromOptions(context: Context, options: ObjectDetectorOptions): ObjectDetector =
            TODO("$context $options")
    }
}

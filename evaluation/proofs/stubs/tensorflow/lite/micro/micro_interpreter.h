// See micro_mutable_op_resolver.h: an interpreter that keeps tensors and computes nothing.
#ifndef TENSORFLOW_LITE_MICRO_MICRO_INTERPRETER_H_
#define TENSORFLOW_LITE_MICRO_MICRO_INTERPRETER_H_

#include <cstddef>
#include <cstdint>

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

union TfLitePtrUnion {
  std::int8_t* int8;
  std::uint8_t* uint8;
  float* f;
};

struct TfLiteTensor {
  TfLitePtrUnion data;
};

namespace tflite {

class MicroInterpreter {
 public:
  template <typename Resolver>
  MicroInterpreter(const Model* model, const Resolver& resolver, std::uint8_t* arena,
                   std::size_t arena_size)
      : model_(model), complete_(resolver.registered() == Resolver::capacity()) {
    input_.data.uint8 = arena;
    output_.data.uint8 = arena + arena_size / 2;
  }
  TfLiteStatus AllocateTensors() const { return model_ && complete_ ? kTfLiteOk : kTfLiteError; }
  TfLiteStatus Invoke() const { return kTfLiteOk; }
  TfLiteTensor* input(std::size_t) { return &input_; }
  TfLiteTensor* output(std::size_t) { return &output_; }
  std::size_t arena_used_bytes() const { return 0; }

 private:
  const Model* model_;
  bool complete_;
  TfLiteTensor input_{};
  TfLiteTensor output_{};
};

}  // namespace tflite

#endif  // TENSORFLOW_LITE_MICRO_MICRO_INTERPRETER_H_

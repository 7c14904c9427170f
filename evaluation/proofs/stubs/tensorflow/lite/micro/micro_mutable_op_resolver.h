// Stands in for TFLite Micro where only the generated sources are to be compiled: the same
// names and types that they use, and a count of the operators that are registered.
#ifndef TENSORFLOW_LITE_MICRO_MICRO_MUTABLE_OP_RESOLVER_H_
#define TENSORFLOW_LITE_MICRO_MICRO_MUTABLE_OP_RESOLVER_H_

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };

namespace tflite {

template <unsigned int kOps>
class MicroMutableOpResolver {
 public:
  unsigned int registered() const { return registered_; }
  static constexpr unsigned int capacity() { return kOps; }
#define EDGEQUANT_STUB(method) \
  TfLiteStatus method() { return ++registered_ <= kOps ? kTfLiteOk : kTfLiteError; }
#include "methods.inc"
#undef EDGEQUANT_STUB

 private:
  unsigned int registered_ = 0;
};

}  // namespace tflite

#endif  // TENSORFLOW_LITE_MICRO_MICRO_MUTABLE_OP_RESOLVER_H_

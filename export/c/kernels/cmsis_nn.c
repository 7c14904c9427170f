/* Rows of convolutions by Arm's CMSIS-NN 4.0, where NET_CMSIS_NN is defined. */
#include "net_kernels.h"

#ifdef NET_CMSIS_NN

#include <string.h>

#include "arm_nnfunctions.h"

/* Shifts of the channels, a row of the result, rows of the source, and CMSIS-NN's own buffer. */
static int32_t buffer[NET_CMSIS_NN_BYTES / 4];

static int8_t *net_behind(int8_t *from, int32_t bytes) { return from + ((bytes + 3) & ~3); }

static int8_t *net_wide_shifts(const int8_t *shift, int32_t count) {
  for (int32_t k = 0; k < count; ++k) buffer[k] = shift[k];
  return (int8_t *)(buffer + count);
}

/* Rows first to end - 1 one behind the other: copied where they are not. */
static const int8_t *net_together(const net_rows *in, int32_t first, int32_t end, int32_t bytes,
                                  int8_t **copy) {
  int8_t *to = *copy;
  if (in->bytes == bytes && first % in->count + end - first <= in->count) return net_row(in, first);
  for (int32_t y = first; y < end; ++y) memcpy(to + (y - first) * bytes, net_row(in, y), bytes);
  *copy = net_behind(to, (end - first) * bytes);
  return to;
}

int net_cmsis_pointwise(const net_pointwise_params *op, const int8_t *row, int8_t *to) {
  const cmsis_nn_dims in = {1, 1, op->out_w, op->in_c}, filter = {op->out_c, 1, 1, op->in_c};
  const cmsis_nn_dims bias = {1, 1, 1, op->out_c}, out = {1, 1, op->out_w, op->out_c};
  int8_t *const result = net_wide_shifts(op->shift, op->out_c);
  const cmsis_nn_context context = {0, 0};
  const cmsis_nn_per_channel_quant_params scale = {(int32_t *)op->multiplier, buffer};
  const cmsis_nn_conv_params params = {
      0, op->out_zero, {1, 1}, {0, 0}, {1, 1}, {op->low, op->high}};
  if (op->stride_w != 1 || op->stride_h != 1) return 0;
  if (arm_convolve_1x1_s8_fast(&context, &params, &scale, &in, row, &filter, op->weights, &bias,
                               op->bias, &out, result) != ARM_CMSIS_NN_SUCCESS) {
    return 0;
  }
  memcpy(to, result, (size_t)(op->out_w * op->out_c));
  return 1;
}

int net_cmsis_conv_2d(const net_conv_2d_params *op, const net_rows *rows, int32_t top,
                      int8_t *to) {
  const int32_t i0 = net_taps_before(top, op->dilation_h);
  const int32_t i1 = net_taps_end(top, op->dilation_h, op->kernel_h, op->in_h);
  const int32_t first = top + i0 * op->dilation_h, end = top + (i1 - 1) * op->dilation_h + 1;
  int8_t *const result = net_wide_shifts(op->shift, op->out_c);
  int8_t *rest = net_behind(result, op->out_w * op->out_c);
  const int8_t *from;
  if (i1 <= i0 || op->group_in != op->in_c) return 0;
  from = net_together(rows, first, end, op->in_w * op->in_c, &rest);
  {
    const cmsis_nn_dims in = {1, end - first, op->in_w, op->in_c};
    const cmsis_nn_dims filter = {op->out_c, op->kernel_h, op->kernel_w, op->in_c};
    const cmsis_nn_dims bias = {1, 1, 1, op->out_c}, out = {1, 1, op->out_w, op->out_c};
    const cmsis_nn_context context = {rest, arm_convolve_s8_get_buffer_size(&in, &filter)};
    const cmsis_nn_per_channel_quant_params scale = {(int32_t *)op->multiplier, buffer};
    const cmsis_nn_conv_params params = {-op->in_zero,
                                         op->out_zero,
                                         {op->stride_w, op->stride_h},
                                         {op->pad_left, i0 * op->dilation_h},
                                         {op->dilation_w, op->dilation_h},
                                         {op->low, op->high}};
    if (arm_convolve_s8(&context, &params, &scale, &in, from, &filter, op->weights, &bias,
                        op->bias, &out, result) != ARM_CMSIS_NN_SUCCESS) {
      return 0;
    }
  }
  memcpy(to, result, (size_t)(op->out_w * op->out_c));
  return 1;
}

int net_cmsis_depthwise(const net_depthwise_params *op, const net_rows *rows, int32_t top,
                        int8_t *to) {
  const int32_t i0 = net_taps_before(top, 1);
  const int32_t i1 = net_taps_end(top, 1, op->kernel_h, op->in_h);
  int8_t *const result = net_wide_shifts(op->shift, op->in_c);
  int8_t *rest = net_behind(result, op->out_w * op->in_c);
  const int8_t *from;
  if (i1 <= i0 || op->depth != 1 || op->dilation_h != 1 || op->dilation_w != 1) return 0;
  from = net_together(rows, top + i0, top + i1, op->in_w * op->in_c, &rest);
  {
    const cmsis_nn_dims in = {1, i1 - i0, op->in_w, op->in_c};
    const cmsis_nn_dims filter = {1, op->kernel_h, op->kernel_w, op->in_c};
    const cmsis_nn_dims bias = {1, 1, 1, op->in_c}, out = {1, 1, op->out_w, op->in_c};
    const cmsis_nn_per_channel_quant_params scale = {(int32_t *)op->multiplier, buffer};
    const cmsis_nn_dw_conv_params params = {
        -op->in_zero,       op->out_zero, 1, {op->stride_w, op->stride_h},
        {op->pad_left, i0}, {1, 1},       {op->low, op->high}};
    const cmsis_nn_context context = {
        rest, arm_depthwise_conv_wrapper_s8_get_buffer_size(&params, &in, &filter, &out)};
    if (arm_depthwise_conv_wrapper_s8(&context, &params, &scale, &in, from, &filter, op->weights,
                                      &bias, op->bias, &out, result) != ARM_CMSIS_NN_SUCCESS) {
      return 0;
    }
  }
  memcpy(to, result, (size_t)(op->out_w * op->in_c));
  return 1;
}

#endif

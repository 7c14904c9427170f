/* TRANSPOSE_CONV: each pixel of the result adds up the pixels whose windows hold it. */
static int32_t net_transposed_sum(const net_transpose_conv_params *op, const int8_t *in, int32_t y,
                                  int32_t x, int32_t o) {
  int32_t sum = op->bias[o];
  for (int32_t i = 0; i < op->kernel_h; ++i) {
    const int32_t down = y + op->pad_top - i;
    if (down < 0 || down % op->stride_h || down / op->stride_h >= op->in_h) continue;
    for (int32_t j = 0; j < op->kernel_w; ++j) {
      const int32_t across = x + op->pad_left - j;
      if (across < 0 || across % op->stride_w || across / op->stride_w >= op->in_w) continue;
      const int32_t place = down / op->stride_h * op->in_w + across / op->stride_w;
      const int8_t *pixel = in + place * op->in_c;
      const int8_t *weight =
          op->weights + ((o * op->kernel_h + i) * op->kernel_w + j) * op->in_c;
      for (int32_t c = 0; c < op->in_c; ++c) sum += (pixel[c] - op->in_zero) * weight[c];
    }
  }
  return sum;
}

void net_transpose_conv(const net_transpose_conv_params *op, const int8_t *in, int8_t *out) {
  for (int32_t y = 0; y < op->out_h; ++y) {
    for (int32_t x = 0; x < op->out_w; ++x) {
      for (int32_t o = 0; o < op->out_c; ++o) {
        const int32_t sum = net_transposed_sum(op, in, y, x, o);
        *out++ = net_finish(sum, op->multiplier[o], op->shift[o], op->out_zero, op->low, op->high);
      }
    }
  }
}

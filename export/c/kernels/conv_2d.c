/* CONV_2D: one pixel of all channels after the other. */
void net_conv_2d(const void *params, const net_rows *in, const net_rows *out, int32_t first,
                 int32_t end) {
  const net_conv_2d_params *op = params;
  const int32_t taps = op->kernel_h * op->kernel_w * op->group_in;
  for (int32_t y = first; y < end; ++y) {
    int8_t *to = net_row(out, y);
    for (int32_t x = 0; x < op->out_w; ++x) {
      for (int32_t o = 0; o < op->out_c; ++o) {
        const int8_t *weights = op->weights + o * taps;
        const int32_t from = o / op->group_out * op->group_in;
        int32_t sum = op->bias[o];
        for (int32_t i = 0; i < op->kernel_h; ++i) {
          const int32_t row = y * op->stride_h - op->pad_top + i * op->dilation_h;
          if (row < 0 || row >= op->in_h) continue;
          for (int32_t j = 0; j < op->kernel_w; ++j) {
            const int32_t column = x * op->stride_w - op->pad_left + j * op->dilation_w;
            if (column < 0 || column >= op->in_w) continue;
            const int8_t *pixel = net_row(in, row) + column * op->in_c + from;
            const int8_t *weight = weights + (i * op->kernel_w + j) * op->group_in;
            for (int32_t c = 0; c < op->group_in; ++c) {
              sum += (pixel[c] - op->in_zero) * weight[c];
            }
          }
        }
        *to++ = net_finish(sum, op->multiplier[o], op->shift[o], op->out_zero, op->low, op->high);
      }
    }
  }
}

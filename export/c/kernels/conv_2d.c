/* CONV_2D: the taps of a row of the kernel that lie together in memory are one run. */
static void net_conv_2d_pixel(const net_conv_2d_params *op, const net_rows *in, int32_t top,
                              int32_t left, int8_t *to) {
  const int32_t i0 = net_taps_before(top, op->dilation_h);
  const int32_t i1 = net_taps_end(top, op->dilation_h, op->kernel_h, op->in_h);
  const int32_t j0 = net_taps_before(left, op->dilation_w);
  const int32_t j1 = net_taps_end(left, op->dilation_w, op->kernel_w, op->in_w);
  const int32_t together = op->dilation_w == 1 && op->group_in == op->in_c && j1 > j0 ? j1 - j0 : 1;
  const int32_t run = together * op->group_in;
  const int32_t taps = op->kernel_h * op->kernel_w * op->group_in;
  int32_t four = 1;
  for (int32_t o = 0; o < op->out_c; o += four) {
    const int32_t from = o / op->group_out * op->group_in;
    const int32_t rest = op->group_out - o % op->group_out;
    int32_t sums[4];
    four = rest >= 4 ? 4 : 1;
    for (int32_t k = 0; k < four; ++k) sums[k] = op->bias[o + k];
    for (int32_t i = i0; i < i1; ++i) {
      const int8_t *row = net_row(in, top + i * op->dilation_h) + from;
      const int8_t *weights = op->weights + o * taps + i * op->kernel_w * op->group_in;
      for (int32_t j = j0; j < j1; j += together) {
        const int8_t *pixel = row + (left + j * op->dilation_w) * op->in_c;
        const int8_t *weight = weights + j * op->group_in;
        if (four == 4) {
          net_dot4(pixel, weight, taps, run, op->in_zero, sums);
        } else {
          sums[0] = net_dot(pixel, weight, run, op->in_zero, sums[0]);
        }
      }
    }
    if (four == 4) {
      net_finish4(sums, op->multiplier + o, op->shift + o, op->out_zero, op->low, op->high, to);
    } else {
      *to = net_finish(sums[0], op->multiplier[o], op->shift[o], op->out_zero, op->low, op->high);
    }
    to += four;
  }
}

void net_conv_2d(const void *params, const net_rows *in, const net_rows *out, int32_t first,
                 int32_t end) {
  const net_conv_2d_params *op = params;
  for (int32_t y = first; y < end; ++y) {
    int8_t *to = net_row(out, y);
#ifdef NET_CMSIS_NN
    if (net_cmsis_conv_2d(op, in, y * op->stride_h - op->pad_top, to)) continue;
#endif
    for (int32_t x = 0; x < op->out_w; ++x) {
      net_conv_2d_pixel(op, in, y * op->stride_h - op->pad_top, x * op->stride_w - op->pad_left, to);
      to += op->out_c;
    }
  }
}

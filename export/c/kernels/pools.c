/* AVERAGE_POOL_2D: ties away from zero, and MAX_POOL_2D, over the pixels inside the image. */
static void net_pool_part(int32_t start, int32_t taps, int32_t size, int32_t *low, int32_t *high) {
  *low = start < 0 ? 0 : start;
  *high = start + taps < size ? start + taps : size;
}

void net_average_pool(const void *params, const net_rows *in, const net_rows *out, int32_t first,
                      int32_t end) {
  const net_pool_params *op = params;
  for (int32_t y = first; y < end; ++y) {
    int8_t *to = net_row(out, y);
    int32_t y0, y1, x0, x1;
    net_pool_part(y * op->stride_h - op->pad_top, op->kernel_h, op->in_h, &y0, &y1);
    for (int32_t x = 0; x < op->out_w; ++x) {
      net_pool_part(x * op->stride_w - op->pad_left, op->kernel_w, op->in_w, &x0, &x1);
      const int32_t count = (y1 - y0) * (x1 - x0);
      for (int32_t c = 0; c < op->channels; ++c) {
        int32_t sum = 0;
        for (int32_t i = y0; i < y1; ++i) {
          const int8_t *row = net_row(in, i) + c;
          for (int32_t j = x0; j < x1; ++j) sum += row[j * op->channels];
        }
        sum = sum > 0 ? (sum + count / 2) / count : (sum - count / 2) / count;
        *to++ = (int8_t)net_clamp(sum, op->low, op->high);
      }
    }
  }
}

void net_max_pool(const void *params, const net_rows *in, const net_rows *out, int32_t first,
                  int32_t end) {
  const net_pool_params *op = params;
  for (int32_t y = first; y < end; ++y) {
    int8_t *to = net_row(out, y);
    int32_t y0, y1, x0, x1;
    net_pool_part(y * op->stride_h - op->pad_top, op->kernel_h, op->in_h, &y0, &y1);
    for (int32_t x = 0; x < op->out_w; ++x) {
      net_pool_part(x * op->stride_w - op->pad_left, op->kernel_w, op->in_w, &x0, &x1);
      for (int32_t c = 0; c < op->channels; ++c) {
        int32_t most = -128;
        for (int32_t i = y0; i < y1; ++i) {
          const int8_t *row = net_row(in, i) + c;
          for (int32_t j = x0; j < x1; ++j) {
            if (row[j * op->channels] > most) most = row[j * op->channels];
          }
        }
        *to++ = (int8_t)net_clamp(most, op->low, op->high);
      }
    }
  }
}

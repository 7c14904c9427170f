/* RESIZE_BILINEAR: weights of 10 bits along each axis, and one rounding away from zero. */
static void net_between(int32_t place, int32_t size, int32_t *low, int32_t *high, int32_t *share) {
  const int32_t up = (place + 1023) >> 10;
  *low = place > 0 ? place >> 10 : 0;
  *high = up < size - 1 ? up : size - 1;
  if (*high < 0) *high = 0;
  *share = place - *low * 1024;
}

void net_resize_bilinear(const net_resize_params *op, const int8_t *in, int8_t *out) {
  const int32_t row = op->in_w * op->channels;
  for (int32_t y = 0; y < op->out_h; ++y) {
    int32_t top, bottom, down;
    net_between(y * op->step_h + op->offset_h, op->in_h, &top, &bottom, &down);
    for (int32_t x = 0; x < op->out_w; ++x) {
      int32_t left, right, across;
      net_between(x * op->step_w + op->offset_w, op->in_w, &left, &right, &across);
      const int8_t *a = in + top * row + left * op->channels;
      const int8_t *b = in + top * row + right * op->channels;
      const int8_t *c = in + bottom * row + left * op->channels;
      const int8_t *d = in + bottom * row + right * op->channels;
      for (int32_t i = 0; i < op->channels; ++i) {
        const int64_t total = (int64_t)((1024 - down) * (1024 - across)) * a[i] +
                              (int64_t)((1024 - down) * across) * b[i] +
                              (int64_t)(down * (1024 - across)) * c[i] +
                              (int64_t)(down * across) * d[i];
        const int64_t half = total > 0 ? 1 << 19 : -(1 << 19);
        *out++ = (int8_t)((total + half) / (1 << 20));
      }
    }
  }
}

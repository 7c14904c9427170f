/* Rows first to end - 1 of a patch, and the rows that they need of every stage before. */
void net_run_patch(const net_stage *stages, int32_t *next, int32_t *heights, int32_t count,
                   int32_t first, int32_t end) {
  next[count - 1] = first;
  for (int32_t i = count - 1; i > 0; --i) {
    const int32_t start = next[i] * stages[i].stride - stages[i].before;
    next[i - 1] = start > 0 ? start : 0;
  }
  heights[count - 1] = end;
  net_run_stages(stages, next, heights, count);
}

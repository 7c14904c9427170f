/* Runs the self-test on an emulated board: what differs, SysTick's ticks, bytes of stack. */
#include <stdint.h>
#include <stdio.h>

#include "net.h"
#include "net_vectors.h"

#define PAINTED 65536
#define REGISTER(address) (*(volatile uint32_t *)(address))

extern void _start(void);
extern char __stack;
__attribute__((section(".vectors"), used)) static void *const vectors[2] = {&__stack, _start};

static uint8_t arena[NET_ARENA_BYTES];

int main(void) {
  volatile uint8_t here = 0;
  volatile uint8_t *const top = &here;
  for (volatile uint8_t *p = top - PAINTED; p < top - 64; ++p) *p = 0xa5;
  REGISTER(0xe000e014) = 0xffffff;
  REGISTER(0xe000e018) = 0;
  REGISTER(0xe000e010) = 5;
  uint32_t start = REGISTER(0xe000e018);
  while (start == 0) start = REGISTER(0xe000e018);
  (void)REGISTER(0xe000e010);
  const int wrong = net_self_test(arena);
  const uint32_t left = REGISTER(0xe000e018);
  const int wrapped = (REGISTER(0xe000e010) & 0x10000) != 0;
  const uint32_t ticks = wrapped ? 0xffffff : start - left;
  const volatile uint8_t *lowest = top - PAINTED;
  while (*lowest == 0xa5) ++lowest;
  printf("wrong %d ticks %lu stack %ld\n", wrong, (unsigned long)ticks, (long)(top - lowest));
  return wrong;
}

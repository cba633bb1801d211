// Optimised C without a C library: values in registers, in memory, and optimised out.
#include "bare.h"

enum state { NEW, PAID = 7, SHIPPED };
struct item { const char *name; unsigned price; struct item *next; };
struct order { long number; enum state state; struct item *items; unsigned char flags : 3; double total; char note[12]; };
typedef union { unsigned bits; float value; } number;

static struct item tea = {"tea", 350, 0};
static struct item cup = {"cup", 1200, &tea};
struct order current = {4711, PAID, &cup, 5, 15.5, "by hand"};
volatile long sink;

NOINLINE static long sum(const struct item *item, unsigned *target) {
    long total = 0;
    for (; item; item = item->next) total += item->price;
    *target = (unsigned)total;
    return total;
}

NOINLINE static long charge(struct order *order, const char *password, number rate) {
    long before = order->number;
    sink = password[0] + (long)rate.bits;
    long paid = sum(order->items, (unsigned *)sink_address());
    sink = paid + before;
    return paid;
}

ENTRY void begin(void) {
    number rate = {.value = 0.25f};
    sink = charge(&current, "hunter2", rate);
    finish(0);
}

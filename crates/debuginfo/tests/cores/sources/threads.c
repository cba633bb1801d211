// Three threads without a C library: one crashes while the others wait for a futex.
#include "bare.h"

#define STACK 16384
static char stacks[2][STACK] __attribute__((aligned(16)));
static volatile int ready, never;

struct job { int number; const char *title; struct job *parent; };

NOINLINE static void wait_for_work(struct job *job) {
    __sync_fetch_and_add(&ready, 1);
    while (!never) call(202, (long)&never, 0, 0, 0, 0, 0);
    job->number = 0;
}

NOINLINE static void work(struct job *job) {
    struct job inner = {job->number * 10, "inner", job};
    wait_for_work(&inner);
    call(60, inner.number, 0, 0, 0, 0, 0);
}

// clone(2) comes back on an empty stack: what it runs is below it.
long start(void *stack, struct job *job, void (*run)(struct job *));
__asm__(".globl start\n.type start, @function\nstart:\n.cfi_startproc\n"
        "mov %rdi, %r8\nmov %rsi, %r9\nmov %rdx, %r12\n"
        "mov $56, %eax\nmov $0x10f00, %edi\nmov %r8, %rsi\nxor %edx, %edx\nxor %r10d, %r10d\nxor %r8d, %r8d\nsyscall\n"
        "test %eax, %eax\njz 1f\nret\n"
        "1:\n.cfi_undefined rip\nxor %ebp, %ebp\nmov %r9, %rdi\ncall *%r12\nhlt\n.cfi_endproc\n.size start, .-start\n");

NOINLINE static int crash(int *target, int before) {
    *target = before;
    return before;
}

ENTRY void begin(void) {
    static struct job jobs[2] = {{1, "first", 0}, {2, "second", 0}};
    for (int at = 0; at < 2; at++) start(stacks[at] + STACK - 64, &jobs[at], work);
    // Yields: what is awaited are two other threads on any number of processors.
    while (ready < 2) call(24, 0, 0, 0, 0, 0, 0);
    finish(crash(sink_address(), ready));
}

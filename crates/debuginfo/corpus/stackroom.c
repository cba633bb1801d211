// alloca, arrays of variable length, and stacks that are aligned by hand.
#include <alloca.h>
#include <stdlib.h>
#include <string.h>

static volatile int sink;

__attribute__((noinline)) static void stop(int code) {
    sink = code;
    if (code) abort();
}

__attribute__((noinline)) static int aligned(int value) {
    char block[96] __attribute__((aligned(64)));
    int counter = value + 1;
    memset(block, counter, sizeof block);
    sink = block[value];
    stop(counter);
    return block[counter] + counter;
}

__attribute__((noinline)) static int variable_length(int count) {
    int numbers[count * 3];
    for (int at = 0; at < count * 3; at++) numbers[at] = at;
    sink = numbers[count];
    int third = numbers[2];
    int result = aligned(third);
    return result + numbers[count] + third;
}

__attribute__((noinline)) static int allocated(int count) {
    char *room = alloca((size_t)count * 48);
    memset(room, count, (size_t)count * 48);
    sink = room[3];
    double weight = count * 0.5;
    int result = variable_length(count + 1);
    return result + room[1] + (int)weight;
}

__attribute__((noinline)) static int both(int count) {
    long wide[8] __attribute__((aligned(32)));
    char *room = alloca((size_t)count + 1);
    memset(room, 0, (size_t)count + 1); // what is read as a text must not depend on what the stack held before
    for (int at = 0; at < 8; at++) wide[at] = at * count;
    room[0] = (char)count;
    sink = (int)wide[2];
    int result = allocated(count);
    return result + (int)wide[1] + room[0];
}

int main(int argc, char **argv) {
    (void)argv;
    return both(argc + 1);
}

#include <stddef.h>
#include <stdint.h>

typedef int32_t (*callback)(int32_t, uint64_t *);

int32_t each_item(const int32_t *items, size_t count, callback call, uint64_t *to) {
    int32_t last = 0;
    for (size_t at = 0; at < count; at++) {
        short step = (short)(at + 1);
        last = call(items[at], to) * step;
    }
    return last;
}

int32_t run(int32_t (*entry)(int16_t), int16_t number) {
    char tag = 'r';
    int32_t code = entry(number);
    return code + (tag == 'r');
}

// Ends by a null pointer, with something worth reading around it.
#include <stdio.h>

struct order {
    int amounts[100];
    const char *password;
};

__attribute__((noinline)) static int ship(struct order *order, int *target) {
    int amount = order->amounts[2];
    *target = amount;
    return amount;
}

int main(void) {
    struct order order = {.password = "hunter2"};
    for (int i = 0; i < 100; i++) order.amounts[i] = (i + 1) * 10;
    return ship(&order, NULL);
}

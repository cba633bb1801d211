/* Loyalty points: the part of the shop that came over from the old till software. */
#ifndef LOYALTY_H
#define LOYALTY_H

#include <stddef.h>
#include <stdint.h>

/* One order line, as the till books it. */
struct loyalty_line {
    uint64_t quantity;
    uint64_t unit_cents;
};

/* Points for one line; the shop decides the rate. */
typedef uint32_t (*loyalty_rate)(const struct loyalty_line *line);

/*
 * Writes "TIER, N points" for a customer into out (at most cap bytes, terminated).
 * Returns the length written, or -1 when out is too small.
 */
int loyalty_statement(uint64_t customer, uint32_t points, uint32_t months_inactive, char *out, size_t cap);

/* Sums the points of n lines. */
uint64_t loyalty_award(const struct loyalty_line *lines, size_t n, loyalty_rate rate);

#endif

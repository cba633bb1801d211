/* Loyalty cards: tiers, expiry of points, statements. See loyalty.h. */
#define _DEFAULT_SOURCE
#include "loyalty.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum {
    HISTORY_ENTRIES = 65536,
    EXPIRY_MONTHS = 36,
};

struct tier {
    char name[16];
    uint32_t from_points;
};

struct entry {
    uint32_t month;
    uint32_t points;
};

struct card {
    uint64_t customer;
    uint32_t points;
    uint32_t months_inactive;
    struct tier *tier;
    struct tier tiers[3];
    /* Long histories are common with the old till: mapped, so that untouched pages cost nothing. */
    struct entry history[HISTORY_ENTRIES];
};

static struct card *card_open(uint64_t customer, uint32_t points, uint32_t months_inactive)
{
    struct card *card = mmap(NULL, sizeof *card, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (card == MAP_FAILED)
        return NULL;
    card->customer = customer;
    card->points = points;
    card->months_inactive = months_inactive;
    strcpy(card->tiers[0].name, "bronze");
    strcpy(card->tiers[1].name, "silver");
    card->tiers[1].from_points = 500;
    strcpy(card->tiers[2].name, "gold");
    card->tiers[2].from_points = 5000;
    card->tier = &card->tiers[0];
    for (size_t i = 1; i < sizeof card->tiers / sizeof card->tiers[0]; i++)
        if (points >= card->tiers[i].from_points)
            card->tier = &card->tiers[i];
    card->history[0] = (struct entry){ .month = 0, .points = points };
    return card;
}

static void card_close(struct card *card)
{
    munmap(card, sizeof *card);
}

/* Points older than three years are void; a card without points is closed. Returns the points that are left. */
static uint32_t card_expire(struct card *card)
{
    if (card->months_inactive > EXPIRY_MONTHS) {
        card->points = 0;
        card_close(card);
        return 0;
    }
    return card->points;
}

/* Not inlined: the till's trace points hang on it. */
__attribute__((noinline)) static int card_print(const struct card *card, uint32_t points, char *out, size_t cap)
{
    const struct tier *tier = card->tier;
    int written = snprintf(out, cap, "%s, %u points", tier->name, points);
    return written < 0 || (size_t)written >= cap ? -1 : written;
}

int loyalty_statement(uint64_t customer, uint32_t points, uint32_t months_inactive, char *out, size_t cap)
{
    struct card *card = card_open(customer, points, months_inactive);
    if (card == NULL)
        return -1;
    uint32_t left = card_expire(card);
    int written = card_print(card, left, out, cap);
    card_close(card);
    return written;
}

uint64_t loyalty_award(const struct loyalty_line *lines, size_t n, loyalty_rate rate)
{
    uint64_t points = 0;
    for (size_t i = 0; i < n; i++)
        points += rate(&lines[i]);
    return points;
}

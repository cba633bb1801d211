// Virtual calls, several bases and the thunks between them, and a call of a pure virtual function's slot.
#include <cstdlib>

namespace shop {
static volatile int sink;

struct Named {
    virtual ~Named() = default;
    virtual int name(int x) const = 0;
};

struct Priced {
    double base = 1.5;
    virtual ~Priced() = default;
    virtual double price(int quantity) = 0;
};

struct Item : Named, Priced {
    int id = 4;
    int name(int x) const override { return x + id; }
    __attribute__((noinline)) double price(int quantity) override {
        double sum = base * quantity;
        int number = name(quantity);
        sink = number;
        if (number > 4) std::abort();
        return sum + number;
    }
};

__attribute__((noinline)) static double ask(Priced &priced, int quantity) {
    float discount = 0.75f;
    double price = priced.price(quantity);
    sink = static_cast<int>(price);
    return price * discount;
}

__attribute__((noinline)) static double total(Named *named, unsigned char rounds) {
    double sum = 0;
    for (unsigned char at = 1; at <= rounds; ++at) {
        if (auto *priced = dynamic_cast<Priced *>(named)) sum += ask(*priced, at);
    }
    return sum;
}
}  // namespace shop

int main(int argc, char **) {
    shop::Item item;
    double sum = shop::total(&item, static_cast<unsigned char>(argc + 2));
    return static_cast<int>(sum);
}

// Optimised C++ without its library: templates, inheritance, virtual functions, references, a namespace.
#include "bare.h"

namespace shop {

template <typename T, unsigned N> struct Fixed {
    T elements[N];
    unsigned length = 0;
    NOINLINE T &add(const T &element) { return elements[length++] = element; }
};

struct Named { const char *name; };
struct Payment : Named {
    long cents;
    Payment(const char *name, long cents) : Named{name}, cents(cents) {}
    virtual long fee() const = 0;
};
struct Card final : Payment {
    const char *secret;
    Card(const char *name, long cents, const char *secret) : Payment(name, cents), secret(secret) {}
    NOINLINE long fee() const override {
        long *nowhere = static_cast<long *>(sink_address());
        return *nowhere + cents / 50;
    }
};

NOINLINE long settle(const Payment &payment, Fixed<int, 4> &sizes) {
    int &added = sizes.add(static_cast<int>(payment.cents));
    long fee = payment.fee();
    return fee + added;
}

}

extern "C" void __cxa_pure_virtual() { finish(3); }
namespace __cxxabiv1 {
// Only their addresses are asked for.
struct __class_type_info { virtual void keep(); };
struct __si_class_type_info { virtual void keep(); };
}

volatile long sink;

ENTRY void begin(void) {
    shop::Fixed<int, 4> sizes{};
    sizes.add(3);
    shop::Card card("visa", 12345, "not for you");
    sink = settle(card, sizes);
    finish(0);
}

#include "node/json/schema_internal.h"
#include "proto/base/check.h"

#define DIGITS_MAX 18          /* of a divisor: fits 64 bits */
#define EXPONENT_MAX 100000000 /* beyond it all exponents are alike */

/* value = 0.digits * 10^exponent, without zeros at either end; zero has no digits. */
struct decimal {
    bool is_negative;
    const uint8_t *text; /* digits, with a dot or not among them */
    uint32_t count;      /* digits */
    int64_t exponent;
};

static int64_t decimal_exponent(const uint8_t *at, const uint8_t *end)
{
    int64_t value = 0;
    bool is_negative = false;

    if (at < end && (*at == '+' || *at == '-')) is_negative = *at++ == '-';
    for (; at < end; at++)
        if (value < EXPONENT_MAX) value = value * 10 + (*at - '0');
    return is_negative ? -value : value;
}

/* [number] is one of JSON's grammar. */
static struct decimal decimal_read(struct mn_span number)
{
    struct decimal d = {0};
    const uint8_t *at = number.data, *end = at + number.size, *mantissa_end;
    int64_t before_dot = 0;
    uint32_t zeros = 0; /* since the last digit that is none */
    bool has_dot = false;

    if (*at == '-') {
        d.is_negative = true;
        at++;
    }
    for (mantissa_end = at; mantissa_end < end; mantissa_end++)
        if (*mantissa_end == 'e' || *mantissa_end == 'E') break;
    for (; at < mantissa_end; at++) {
        if (*at == '.') {
            has_dot = true;
            continue;
        }
        if (d.text == NULL && *at == '0') { /* a leading zero */
            if (has_dot) before_dot--;
            continue;
        }
        if (d.text == NULL) d.text = at;
        if (!has_dot) before_dot++;
        if (*at == '0') {
            zeros++;
        } else {
            d.count += zeros + 1;
            zeros = 0;
        }
    }
    if (d.text == NULL) return (struct decimal){0};
    d.exponent = before_dot;
    if (mantissa_end < end) d.exponent += decimal_exponent(mantissa_end + 1, end);
    return d;
}

static uint8_t decimal_next(const uint8_t **at)
{
    if (**at == '.') (*at)++;
    return *(*at)++;
}

static int decimal_compare_magnitude(const struct decimal *a, const struct decimal *b)
{
    const uint8_t *x = a->text, *y = b->text;
    uint32_t common = a->count < b->count ? a->count : b->count;

    if (a->exponent != b->exponent) return a->exponent < b->exponent ? -1 : 1;
    for (uint32_t i = 0; i < common; i++) {
        uint8_t p = decimal_next(&x), q = decimal_next(&y);
        if (p != q) return p < q ? -1 : 1;
    }
    return (a->count > b->count) - (a->count < b->count);
}

int schema_number_compare(struct mn_span a, struct mn_span b)
{
    struct decimal x = decimal_read(a), y = decimal_read(b);

    if (x.count == 0 || y.count == 0) {
        if (x.count == 0 && y.count == 0) return 0;
        return x.count == 0 ? (y.is_negative ? 1 : -1) : (x.is_negative ? -1 : 1);
    }
    if (x.is_negative != y.is_negative) return x.is_negative ? -1 : 1;
    return x.is_negative ? -decimal_compare_magnitude(&x, &y) : decimal_compare_magnitude(&x, &y);
}

bool schema_number_is_integer(struct mn_span number)
{
    struct decimal d = decimal_read(number);
    return d.exponent >= (int64_t)d.count;
}

bool schema_number_is_divisor(struct mn_span number)
{
    struct decimal d = decimal_read(number);
    return d.count > 0 && d.count <= DIGITS_MAX && !d.is_negative;
}

/* base^power mod [modulus], which is below 2^63. */
static uint64_t power_mod(uint64_t base, uint64_t power, uint64_t modulus)
{
    __extension__ typedef unsigned __int128 wide;
    wide result = 1 % modulus, square = base % modulus;

    for (; power > 0; power >>= 1) {
        if (power & 1) result = result * square % modulus;
        square = square * square % modulus;
    }
    return (uint64_t)result;
}

/* a = A * 10^x and b = B * 10^y with integers A, B that do not end in 0. With x >= y the quotient
 * is an integer iff B divides A * 10^(x-y); with x < y it never is, for 10 does not divide A. */
bool schema_number_is_multiple(struct mn_span number, struct mn_span divisor)
{
    __extension__ typedef unsigned __int128 wide;
    struct decimal a = decimal_read(number), b = decimal_read(divisor);
    const uint8_t *at = a.text, *by = b.text;
    uint64_t modulus = 0, rest = 0;
    int64_t shift;

    if (a.count == 0) return true;
    if (b.count == 0 || b.count > DIGITS_MAX) return false;
    shift = (a.exponent - (int64_t)a.count) - (b.exponent - (int64_t)b.count);
    if (shift < 0) return false;
    for (uint32_t i = 0; i < b.count; i++)
        modulus = modulus * 10 + (uint64_t)(decimal_next(&by) - '0');
    for (uint32_t i = 0; i < a.count; i++)
        rest = (uint64_t)(((wide)rest * 10 + (wide)(decimal_next(&at) - '0')) % modulus);
    return (wide)rest * power_mod(10, (uint64_t)shift, modulus) % modulus == 0;
}

static bool equal_texts(struct mn_span a, struct mn_span b, uint32_t *steps)
{
    if (a.size != b.size) return false;
    schema_spend(steps, a.size / SCHEMA_BYTES_PER_STEP);
    return mn_span_equal(a, b);
}

static bool equal_numbers(struct mn_span a, struct mn_span b, uint32_t *steps)
{
    schema_spend(steps, (a.size + b.size) / SCHEMA_BYTES_PER_STEP);
    return schema_number_compare(a, b) == 0;
}

/* Equal objects mostly have their members in the same order: there nothing is looked for. */
static bool equal_objects(const struct json *a, const struct json *b, uint32_t *steps)
{
    const struct json *x = json_first(a), *y = json_first(b);

    if (a->count != b->count) return false;
    for (; x != NULL; x = json_next(a, x), y = json_next(b, y)) {
        const struct json *other = json_value(y);
        if (!mn_span_equal(x->text, y->text)) {
            other = json_find(b, x->text);
            schema_spend(steps, 1 + b->count / SCHEMA_NODES_PER_STEP);
        }
        if (other == NULL || !schema_equal(json_value(x), other, steps)) return false;
    }
    return true;
}

static bool equal_arrays(const struct json *a, const struct json *b, uint32_t *steps)
{
    const struct json *x = json_first(a), *y = json_first(b);

    if (a->count != b->count) return false;
    for (; x != NULL; x = json_next(a, x), y = json_next(b, y))
        if (!schema_equal(x, y, steps)) return false;
    return true;
}

bool schema_equal(const struct json *a, const struct json *b, uint32_t *steps)
{
    if (*steps == 0) return false;
    --*steps;
    if (a->type != b->type) return false;
    switch (a->type) {
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE: return true;
    case JSON_NUMBER: return equal_numbers(a->raw, b->raw, steps);
    case JSON_STRING: return equal_texts(a->text, b->text, steps);
    case JSON_ARRAY: return equal_arrays(a, b, steps);
    case JSON_OBJECT: return equal_objects(a, b, steps);
    }
    MN_ASSERT(false);
    return false;
}

/* FNV-1a. Whoever makes hashes collide pays for it in steps of schema_find_twin(). */
static uint64_t hash_bytes(uint64_t hash, struct mn_span bytes)
{
    for (size_t i = 0; i < bytes.size; i++)
        hash = (hash ^ bytes.data[i]) * 0x100000001b3U;
    return hash;
}

/* The finaliser of MurmurHash3. */
static uint64_t hash_mix(uint64_t hash)
{
    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdU;
    hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53U;
    return hash ^ hash >> 33;
}

static uint64_t hash_number(uint64_t hash, struct mn_span number)
{
    struct decimal d = decimal_read(number);
    const uint8_t *at = d.text;

    hash = hash_mix(hash ^ (uint64_t)d.exponent * 2 ^ d.is_negative);
    for (uint32_t i = 0; i < d.count; i++)
        hash = (hash ^ decimal_next(&at)) * 0x100000001b3U;
    return hash;
}

uint64_t schema_hash(const struct json *value)
{
    uint64_t hash = 0xcbf29ce484222325U ^ (uint64_t)value->type;

    switch (value->type) {
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE: break;
    case JSON_NUMBER: hash = hash_number(hash, value->raw); break;
    case JSON_STRING: hash = hash_bytes(hash, value->text); break;
    case JSON_ARRAY:
        for (const struct json *item = json_first(value); item; item = json_next(value, item))
            hash = hash_mix(hash) + schema_hash(item);
        break;
    case JSON_OBJECT: /* in whatever order */
        for (const struct json *key = json_first(value); key; key = json_next(value, key))
            hash += hash_mix(schema_hash(key) ^ hash_mix(schema_hash(json_value(key))));
        break;
    }
    return hash_mix(hash);
}

size_t schema_length(struct mn_span text)
{
    size_t count = 0;

    for (size_t i = 0; i < text.size; i++)
        count += (text.data[i] & 0xc0) != 0x80;
    return count;
}

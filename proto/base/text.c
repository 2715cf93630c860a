#include "proto/base/text.h"

static const char hex_digits[] = "0123456789abcdef";
static const char base32_digits[] = "abcdefghijklmnopqrstuvwxyz234567";

void mn_hex_encode(struct mn_span bytes, char *text)
{
    for (size_t i = 0; i < bytes.size; i++) {
        text[2 * i] = hex_digits[bytes.data[i] >> 4];
        text[2 * i + 1] = hex_digits[bytes.data[i] & 15];
    }
    text[2 * bytes.size] = '\0';
}

static int hex_value(uint8_t digit)
{
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

mn_status mn_hex_decode(struct mn_span text, uint8_t *bytes, size_t size)
{
    if (text.size != 2 * size) return MN_MALFORMED;
    for (size_t i = 0; i < size; i++) {
        int high = hex_value(text.data[2 * i]), low = hex_value(text.data[2 * i + 1]);
        if (high < 0 || low < 0) return MN_MALFORMED;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return MN_OK;
}

void mn_base32_encode(struct mn_span bytes, char *text)
{
    uint32_t bits = 0;
    unsigned bits_count = 0;

    for (size_t i = 0; i < bytes.size; i++) {
        bits = bits << 8 | bytes.data[i];
        bits_count += 8;
        while (bits_count >= 5) {
            bits_count -= 5;
            *text++ = base32_digits[bits >> bits_count & 31];
        }
    }
    if (bits_count > 0) *text++ = base32_digits[bits << (5 - bits_count) & 31];
    *text = '\0';
}

static int base32_value(uint8_t digit)
{
    if (digit >= 'a' && digit <= 'z') return digit - 'a';
    if (digit >= '2' && digit <= '7') return digit - '2' + 26;
    return -1;
}

mn_status mn_base32_decode(struct mn_span text, uint8_t *bytes, size_t size)
{
    uint32_t bits = 0;
    unsigned bits_count = 0;

    if (text.size != MN_BASE32_SIZE(size)) return MN_MALFORMED;
    for (size_t i = 0; i < text.size; i++) {
        int value = base32_value(text.data[i]);
        if (value < 0) return MN_MALFORMED;
        bits = bits << 5 | (uint32_t)value;
        bits_count += 5;
        if (bits_count >= 8) {
            bits_count -= 8;
            *bytes++ = (uint8_t)(bits >> bits_count);
        }
    }
    return (bits & ((1U << bits_count) - 1)) == 0 ? MN_OK : MN_MALFORMED;
}

static uint8_t text_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

bool mn_text_has(struct mn_span text, struct mn_span part)
{
    for (size_t begin = 0; begin + part.size <= text.size; begin++) {
        size_t same = 0;
        while (same < part.size &&
               text_lower(text.data[begin + same]) == text_lower(part.data[same]))
            same++;
        if (same == part.size) return true;
    }
    return false;
}

struct mn_span mn_text_without_mark(struct mn_span text)
{
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf};

    if (text.size < sizeof mark || memcmp(text.data, mark, sizeof mark) != 0) return text;
    return mn_span(text.data + sizeof mark, text.size - sizeof mark);
}

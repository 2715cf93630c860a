#include "proto/base/id.h"

#include "proto/base/text.h"

char *mn_id_format(const mn_id *id, char text[MN_ID_TEXT_SIZE])
{
    char *out = text;
    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *out++ = '-';
        mn_hex_encode(mn_span(&id->bytes[i], 1), out);
        out += 2;
    }
    return text;
}

mn_status mn_id_parse(struct mn_span text, mn_id *ret)
{
    uint8_t digits[32];
    size_t count = 0;

    if (text.size != MN_ID_TEXT_SIZE - 1) return MN_MALFORMED;
    for (size_t i = 0; i < text.size; i++) {
        bool dash_due = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash_due != (text.data[i] == '-')) return MN_MALFORMED;
        if (!dash_due) digits[count++] = text.data[i];
    }
    return mn_hex_decode(mn_span(digits, count), ret->bytes, sizeof ret->bytes);
}

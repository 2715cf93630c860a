#include "node/json/string.h"

#include "node/json/json.h"

static int json_string_hex(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The code unit of "uXXXX" at [at], or -1. */
static int32_t json_string_unit(const uint8_t *at, const uint8_t *end)
{
    int32_t unit = 0;

    if (end - at < 5 || at[0] != 'u') return -1;
    for (int i = 1; i <= 4; i++) {
        int digit = json_string_hex(at[i]);
        if (digit < 0) return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

static size_t json_string_encode(uint32_t point, uint8_t to[4])
{
    if (point < 0x80) {
        to[0] = (uint8_t)point;
        return 1;
    }
    if (point < 0x800) {
        to[0] = (uint8_t)(0xc0 | point >> 6);
        to[1] = (uint8_t)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        to[0] = (uint8_t)(0xe0 | point >> 12);
        to[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        to[2] = (uint8_t)(0x80 | (point & 0x3f));
        return 3;
    }
    to[0] = (uint8_t)(0xf0 | point >> 18);
    to[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
    to[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
    to[3] = (uint8_t)(0x80 | (point & 0x3f));
    return 4;
}

/* The second half of a surrogate pair at [at], or -1. */
static int32_t json_string_low(const uint8_t *at, const uint8_t *end)
{
    int32_t low = end - at < 6 || *at != '\\' ? -1 : json_string_unit(at + 1, end);

    return low >= 0xdc00 && low <= 0xdfff ? low : -1;
}

/* Decodes the escape after the backslash at *[at] and moves past it. Returns how many bytes of
 * UTF-8 went to [to]; 0: no valid escape. Half of a surrogate pair is one, unless [is_strict], and
 * becomes U+FFFD. */
static size_t json_string_escape(const uint8_t **at, const uint8_t *end, bool is_strict,
                                 uint8_t to[4])
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const uint8_t *from = *at;
    int32_t unit, low;
    const char *name;

    if (from == end) return 0;
    name = *from == 0 ? NULL : strchr(names, *from);
    if (name != NULL) {
        to[0] = (uint8_t)values[name - names];
        *at = from + 1;
        return 1;
    }
    unit = json_string_unit(from, end);
    if (unit < 0) return 0;
    *at = from + 5;
    if (unit < 0xd800 || unit > 0xdfff) return json_string_encode((uint32_t)unit, to);
    low = unit > 0xdbff ? -1 : json_string_low(*at, end);
    if (low < 0) return is_strict ? 0 : json_string_encode(0xfffd, to);
    *at += 6;
    return json_string_encode(
        0x10000 + ((uint32_t)(unit - 0xd800) << 10) + (uint32_t)(low - 0xdc00), to);
}

bool json_string_unescape(struct mn_span quoted, bool is_strict, struct mn_arena *arena,
                          struct mn_span *ret)
{
    const uint8_t *at = quoted.data, *end = at + quoted.size, *next;
    uint8_t *text, *to, scratch[4];

    next = quoted.size == 0 ? NULL : memchr(at, '\\', quoted.size);
    if (next == NULL) {
        *ret = quoted;
        return true;
    }
    /* An escape is never shorter than what it stands for. */
    text = to = arena == NULL ? NULL : mn_arena_alloc(arena, quoted.size);
    for (; next != NULL; next = at == end ? NULL : memchr(at, '\\', (size_t)(end - at))) {
        size_t plain = (size_t)(next - at), size;
        if (to != NULL) memcpy(to, at, plain);
        at = next + 1;
        size = json_string_escape(&at, end, is_strict, scratch);
        if (size == 0) return false;
        if (to == NULL) continue;
        memcpy(to + plain, scratch, size);
        to += plain + size;
    }
    if (to == NULL) return true;
    if (at < end) memcpy(to, at, (size_t)(end - at));
    to += end - at;
    *ret = mn_span(text, (size_t)(to - text));
    return true;
}

size_t json_string_escape_size(struct mn_span bytes)
{
    const uint8_t *at = bytes.data + 1;
    uint8_t scratch[4];

    if (bytes.size == 0 || bytes.data[0] != '\\') return 0;
    if (json_string_escape(&at, bytes.data + bytes.size, false, scratch) == 0) return 0;
    return (size_t)(at - bytes.data);
}

size_t json_string_utf8(struct mn_span bytes)
{
    static const struct {
        uint8_t lead_min, lead_max, second_min, second_max;
        size_t size;
    } forms[] = {/* RFC 3629, section 4: no overlong form, no surrogate, nothing past U+10FFFF */
                 {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
                 {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
                 {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
                 {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};

    if (bytes.size == 0) return 0;
    if (bytes.data[0] < 0x80) return 1;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (bytes.data[0] < forms[i].lead_min || bytes.data[0] > forms[i].lead_max) continue;
        if (bytes.size < forms[i].size) return 0;
        if (bytes.data[1] < forms[i].second_min || bytes.data[1] > forms[i].second_max) return 0;
        for (size_t k = 2; k < forms[i].size; k++)
            if ((bytes.data[k] & 0xc0) != 0x80) return 0;
        return forms[i].size;
    }
    return 0;
}

bool json_string_is_text(struct mn_span bytes)
{
    while (bytes.size > 0) {
        size_t taken = json_string_utf8(bytes);
        if (taken == 0) return false;
        bytes = mn_span(bytes.data + taken, bytes.size - taken);
    }
    return true;
}

/* The letter after the backslash for characters that have a short escape, else 0. */
static char json_string_letter(uint8_t c)
{
    switch (c) {
    case '"':
    case '\\': return (char)c;
    case '\b': return 'b';
    case '\f': return 'f';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    default: return 0;
    }
}

static void json_write_escape(struct mn_writer *writer, uint8_t c)
{
    static const char digits[] = "0123456789abcdef";
    char letter = json_string_letter(c);

    if (letter != 0) {
        uint8_t *to = mn_writer_take(writer, 2);
        to[0] = '\\';
        to[1] = (uint8_t)letter;
    } else {
        uint8_t *to = mn_writer_take(writer, 6);
        memcpy(to, "\\u00", 4);
        to[4] = (uint8_t)digits[c >> 4];
        to[5] = (uint8_t)digits[c & 15];
    }
}

/* Bytes at the front of [bytes] that can be copied as they are. */
static size_t json_string_plain(struct mn_span bytes)
{
    size_t at = 0;

    while (at < bytes.size) {
        uint8_t c = bytes.data[at];
        size_t size;
        if (c < 0x20 || c == '"' || c == '\\') break;
        size = json_string_utf8(mn_span(bytes.data + at, bytes.size - at));
        if (size == 0) break;
        at += size;
    }
    return at;
}

void json_write_string(struct mn_writer *writer, struct mn_span text)
{
    *mn_writer_take(writer, 1) = '"';
    while (text.size > 0) {
        size_t plain = json_string_plain(text);
        mn_writer_add(writer, mn_span(text.data, plain));
        text = mn_span(text.data + plain, text.size - plain);
        if (text.size == 0) break;
        if (text.data[0] < 0x80)
            json_write_escape(writer, text.data[0]);
        else
            mn_writer_str(writer, "\xef\xbf\xbd"); /* U+FFFD */
        text = mn_span(text.data + 1, text.size - 1);
    }
    *mn_writer_take(writer, 1) = '"';
}

void json_write_line(struct mn_writer *writer, struct mn_span raw)
{
    uint8_t *to;

    if (raw.size == 0) return;
    to = mn_writer_take(writer, raw.size);
    memcpy(to, raw.data, raw.size);
    if (memchr(raw.data, '\n', raw.size) == NULL && memchr(raw.data, '\r', raw.size) == NULL)
        return;
    for (size_t i = 0; i < raw.size; i++)
        if (to[i] == '\n' || to[i] == '\r') to[i] = ' ';
}

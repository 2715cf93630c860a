#include "mesh/address.h"

struct mn_span address_host(struct mn_span address)
{
    size_t colon = address.size;

    if (address.size > 0 && address.data[0] == '[') {
        const uint8_t *end = memchr(address.data, ']', address.size);
        if (end == NULL) return address;
        return mn_span(address.data + 1, (size_t)(end - address.data) - 1);
    }
    while (colon > 0 && address.data[colon - 1] != ':')
        colon--;
    if (colon == 0) return address;                                   /* no port */
    if (memchr(address.data, ':', colon - 1) != NULL) return address; /* bare IPv6 */
    return mn_span(address.data, colon - 1);
}

/* Four numbers of at most 255 with dots, nothing else. */
static bool address_read_v4(struct mn_span text, uint8_t ret[4])
{
    size_t at = 0;

    for (unsigned i = 0; i < 4; i++) {
        unsigned value = 0;
        size_t begin = at;
        if (i > 0 && (at >= text.size || text.data[at++] != '.')) return false;
        if (i > 0) begin = at;
        while (at < text.size && at - begin < 3 && text.data[at] >= '0' && text.data[at] <= '9')
            value = value * 10 + (text.data[at++] - '0');
        if (at == begin || value > 255) return false;
        ret[i] = (uint8_t)value;
    }
    return at == text.size;
}

static int address_hex(uint8_t character)
{
    if (character >= '0' && character <= '9') return character - '0';
    character |= 0x20;
    return character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
}

/* Groups of up to four hex digits between colons, into [ret]; returns how many bytes, or -1. */
static int address_read_groups(struct mn_span text, uint8_t ret[16])
{
    int size = 0;
    size_t at = 0;

    while (at < text.size) {
        unsigned value = 0, digits = 0;
        struct mn_span rest = mn_span(text.data + at, text.size - at);
        if (size <= 12 && address_read_v4(rest, ret + size)) return size + 4;
        for (; at < text.size && digits < 4 && address_hex(text.data[at]) >= 0; at++, digits++)
            value = value << 4 | (unsigned)address_hex(text.data[at]);
        if (digits == 0 || size > 14) return -1;
        mn_store_u16(ret + size, (uint16_t)value);
        size += 2;
        if (at == text.size) return size;
        if (text.data[at++] != ':' || at == text.size) return -1;
    }
    return size;
}

/* RFC 4291, section 2.2; a zone ("%eth0") is ignored. */
static bool address_read_v6(struct mn_span text, uint8_t ret[16])
{
    uint8_t tail[16];
    const uint8_t *zone = text.size == 0 ? NULL : memchr(text.data, '%', text.size);
    size_t gap = 0;
    int before, after;

    if (zone != NULL) text.size = (size_t)(zone - text.data);
    memset(ret, 0, 16);
    while (gap + 1 < text.size && !(text.data[gap] == ':' && text.data[gap + 1] == ':'))
        gap++;
    if (gap + 1 >= text.size) return address_read_groups(text, ret) == 16;
    before = address_read_groups(mn_span(text.data, gap), ret);
    after = address_read_groups(mn_span(text.data + gap + 2, text.size - gap - 2), tail);
    if (before < 0 || after < 0 || before + after > 14) return false;
    if (after > 0) memcpy(ret + 16 - after, tail, (size_t)after);
    return true;
}

/* IPv4 in IPv6 is IPv4. 4 or 6, or 0 for a name. */
static int address_read(struct mn_span host, uint8_t ret[16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    if (address_read_v4(host, ret)) return 4;
    if (memchr(host.size == 0 ? (const uint8_t *)"" : host.data, ':', host.size) == NULL) return 0;
    if (!address_read_v6(host, ret)) return 0;
    if (memcmp(ret, mapped, sizeof mapped) != 0) return 6;
    memmove(ret, ret + 12, 4);
    return 4;
}

bool address_is_loopback(struct mn_span address)
{
    static const uint8_t one[16] = {[15] = 1};
    struct mn_span host = address_host(address);
    uint8_t bytes[16];

    switch (address_read(host, bytes)) {
    case 4: return bytes[0] == 127;
    case 6: return memcmp(bytes, one, sizeof one) == 0;
    default: return mn_span_is(host, "localhost");
    }
}

/* FNV-1a (Fowler, Noll, Vo), 64 bits: names are only told apart here. */
static uint64_t address_digest(struct mn_span text)
{
    uint64_t digest = 0xcbf29ce484222325u;

    for (size_t i = 0; i < text.size; i++)
        digest = (digest ^ text.data[i]) * 0x100000001b3u;
    return digest;
}

void address_network(struct mn_span address, uint8_t ret[ADDRESS_NETWORK_SIZE])
{
    struct mn_span host = address_host(address);
    uint8_t bytes[16];

    memset(ret, 0, ADDRESS_NETWORK_SIZE);
    ret[0] = (uint8_t)address_read(host, bytes);
    switch (ret[0]) {
    case 4: memcpy(ret + 1, bytes, 4); break;
    case 6: memcpy(ret + 1, bytes, 8); break;
    default: mn_store_u64(ret + 1, address_digest(host));
    }
}

/* address.h: what the mesh needs to know of a network address in text, "1.2.3.4:7000" or
 * "[2001:db8::1]:7000". No resolving: names are opaque. */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/bytes.h"

/* The host without port and brackets. */
struct mn_span address_host(struct mn_span address);

/* 127.0.0.0/8 and ::1, also as ::ffff:127.0.0.1, and "localhost". */
bool address_is_loopback(struct mn_span address);

#define ADDRESS_NETWORK_SIZE 9

/* Who limits apply to: the /32 of IPv4, the /64 of IPv6, a digest of anything else; the first byte
 * says which. */
void address_network(struct mn_span address, uint8_t ret[ADDRESS_NETWORK_SIZE]);

#endif

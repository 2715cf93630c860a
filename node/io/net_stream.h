/* net_stream.h: what nng's streams do not offer: operations that never wait, the socket below, and
 * addresses as text.
 *
 * An nng operation that completes later does so by way of two threads of nng, which wake the loop
 * in the end: three wake-ups instead of one. So the loop watches the socket itself, and sends and
 * receives at once what the kernel takes or has. */
#ifndef IO_NET_STREAM_H
#define IO_NET_STREAM_H

#include <nng/nng.h>

#include "node/io/net.h"

/* One operation at a time with an [aio] that has no callback. An error of nng; NNG_ECANCELED: it
 * would have to wait, nothing was done. */
int net_stream_send(nng_stream *stream, nng_aio *aio, struct mn_span bytes, size_t *ret_size);
int net_stream_receive(nng_stream *stream, nng_aio *aio, uint8_t *bytes, size_t capacity,
                       size_t *ret_size);

/* A connected TCP stream's descriptor, which stays nng's; -1: not found. */
int net_stream_descriptor(nng_stream *stream);

/* The kernel takes more only while less than [unsent_max] bytes of what it has have not left: what
 * it holds is sent in order, and an urgent word would wait behind it. Throughput does not suffer,
 * because what is under way does not count. */
void net_stream_keep_short(int descriptor, int unsent_max);

/* "address:port", IPv6 in brackets. */
void net_format_address(const nng_sockaddr *address, char text[NET_ADDRESS_SIZE]);

#endif

/* net.h: byte streams for the mesh, on nng's stream layer (TCP). The loop watches the sockets and
 * receives; a connection has at most one send under way, most often completed within the call. What
 * does take time (dialling, accepting, a send that the kernel does not take) completes on threads
 * of nng: they only record it, on a lock-free list which the loop takes as a whole. All else
 * happens on the loop thread. */
#ifndef IO_NET_H
#define IO_NET_H

#include "node/io/loop.h"

#define NET_ADDRESS_SIZE 64 /* "[address]:port" and a NUL */

struct net;

struct net_config {
    uint32_t accepted_max; /* connections of others at a time; more are closed at once */
};

struct net *net_new(struct io *io, const struct net_config *config);

/* Listens on "address:port" (IPv6 in brackets, port 0: any) and writes what was bound. MN_IO:
 * [ret_error] says why, as the library does; MN_FULL: too many listeners. */
MN_MUST_USE mn_status net_listen(struct net *net, const char *address,
                                 char ret_bound[NET_ADDRESS_SIZE], const char **ret_error);

/* Carries out EDGE_OUT_NET_*. */
void net_do(struct net *net, const struct edge_output *output);

/* Cuts everything. [net] frees itself, once the loop has run the last completions. */
void net_close(struct net *net);

#endif

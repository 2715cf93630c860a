/* queue.h: what waits to be sent on one link. Deficit round robin over the five priorities
 * (Shreedhar & Varghese, "Efficient Fair Queueing using Deficit Round Robin", SIGCOMM 1995):
 * weights 16, 8, 4, 2, 1, quantum 16 KiB x weight, so that on a saturated link each priority has at
 * least weight/31 of its bytes. Unlike there, a lane need not wait for its turn: it may borrow a
 * quantum from the next one, and of those that may, the most urgent goes first. So what is small
 * and urgent waits for nothing but the item before it, and nobody gets more than a share by that.
 *
 * Bounded in bytes per priority and in all. When the whole is full, a more urgent envelope sheds
 * the least urgent ones, background first; critical is never shed. What is low or background may
 * have a bound in common with other queues, beyond which each lane takes one envelope at a time.
 * What is dropped for whatever reason is reported by its tag: it was certainly not sent. */
#ifndef QUEUE_H
#define QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/status.h"
#include "proto/base/time.h"
#include "proto/envelope.h"

#define QUEUE_QUANTUM 16384 /* bytes, times the weight */

/* Low and background envelopes of many queues, which share one bound. */
struct queue_bulk {
    size_t bytes, bytes_max;
};

struct queue_limits {
    size_t bytes_max[ENVELOPE_PRIORITIES]; /* per priority; one envelope always fits an empty one */
    size_t total_max;
    struct queue_bulk *bulk; /* outlives the queue; NULL: no bound in common */
};

/* 32 MiB per priority, but 128 MiB of low and of background, where large answers go; 192 MiB in
 * all. No bulk. */
struct queue_limits queue_limits_default(void);

struct queue;

struct queue *queue_new(const struct queue_limits *limits);
void queue_free(struct queue *queue);

/* An envelope that will not be sent. */
struct queue_drop {
    uint64_t tag; /* not 0 */
    mn_status
        status; /* MN_BUSY: shed; MN_EXPIRED: its deadline passed; MN_CLOSED: queue_drop_all */
};

/* Puts an envelope in. Its head is copied, and so is a short payload; of a longer one a ref to
 * [payload] is taken, which holds exactly the bytes of envelope_tail() (NULL: they are copied
 * whatever their size). [tag] 0: nobody wants to know. MN_BUSY: no room, nothing changed.
 * The envelope has passed envelope_check(). */
MN_MUST_USE mn_status queue_put(struct queue *queue, struct mn_now now,
                                const struct envelope *envelope, struct mn_buf *payload,
                                uint64_t tag);

/* Chooses what goes next; its size as an item of a frame (head included), or 0 when nothing waits.
 * Expired envelopes are dropped here. */
size_t queue_next_size(struct queue *queue, struct mn_now now);

/* Writes the chosen item, exactly as long as queue_next_size() said; that was just called. True: an
 * envelope is out completely. */
bool queue_take(struct queue *queue, uint8_t *to);

/* The oldest drop that was not reported yet; false: there is none. */
bool queue_take_drop(struct queue *queue, struct queue_drop *ret);

/* Drops everything that was not sent completely. */
void queue_drop_all(struct queue *queue);

/* Low and background envelopes may take [bytes] more, and the rest of the item they are at; what
 * would be beyond that waits. Without a bound at first. */
void queue_set_bulk_room(struct queue *queue, int64_t bytes);
int64_t queue_bulk_room(const struct queue *queue); /* what is left: less than 0 by the item */

/* Something waits that may go. */
bool queue_has_ready(const struct queue *queue);

/* An envelope that went out in part starts again from its beginning: the link is a new one. */
void queue_restart_parts(struct queue *queue);

size_t queue_bytes(const struct queue *queue); /* waiting, with the memory they take */
size_t queue_priority_bytes(const struct queue *queue, enum envelope_priority priority);
uint32_t queue_count(const struct queue *queue);

/* The invariants, asserted. */
void queue_check(const struct queue *queue);

#endif

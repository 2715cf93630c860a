/* callwire.h: messages of calls between two nodes, proto/callwire.proto with the payload behind. */
#ifndef CALLWIRE_H
#define CALLWIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"
#include "proto/base/time.h"
#include "proto/call.h"
#include "proto/callwire.pb-c.h"

#define CALLWIRE_TEXT_MAX 512                     /* bytes of a failure's text; longer is cut */
#define CALLWIRE_TRACE_MAX 256                    /* bytes of a trace context */
#define CALLWIRE_HEADER_MAX 2048                  /* bytes */
#define CALLWIRE_PAYLOAD_MAX ((uint32_t)32 << 20) /* bytes */
#define CALLWIRE_SIZE_MAX (4 + CALLWIRE_HEADER_MAX + CALLWIRE_PAYLOAD_MAX)
#define CALLWIRE_TIMEOUT_MAX MN_DAY

typedef Meshnode__Callwire__Kind callwire_kind;

struct callwire {
    callwire_kind kind;
    uint64_t boot, seq;     /* both > 0 */
    struct mn_span service; /* REQUEST: [A-Za-z0-9_-]{1,64} */
    mn_time timeout, timeout_total;
    bool is_idempotent;
    struct mn_span trace;
    enum call_failure failure; /* FAILED */
    bool not_started;
    struct mn_span text;
    struct mn_span payload; /* REQUEST, PROGRESS, RESULT, INPUT */
};

/* What stands before the payload, in [arena]; the payload follows it. The message is within its
 * bounds. */
struct mn_span callwire_encode(const struct callwire *message, struct mn_arena *arena);

/* Decodes and checks every bound; *ret points into [bytes] and [arena].
 * MN_MALFORMED, MN_TOO_BIG. */
MN_MUST_USE mn_status callwire_decode(struct mn_span bytes, struct mn_arena *arena,
                                      struct callwire *ret);

#endif

/* trace.h: what cores report instead of logging: typed events, integers and one short word, no
 * formatting. The driver drains the ring after each step and turns events into log lines, metrics
 * and `meshctl events`; the simulator hashes and compares them. When the ring is full the oldest
 * event is overwritten and counted as lost: reporting never blocks the work. */
#ifndef MN_TRACE_H
#define MN_TRACE_H

#include <stdint.h>

#include "proto/base/id.h"
#include "proto/base/time.h"

enum mn_level { MN_LEVEL_DEBUG = 0, MN_LEVEL_INFO, MN_LEVEL_WARN, MN_LEVEL_ERROR };

/* X(NAME, "name as users see it", level, meaning of a, meaning of b). [id] is the node, call or
 * session the event is about, [text] names a server, tool, address or reason. */
#define MN_EVENT_LIST(X)                                                        \
    X(NODE_STARTED, "node.started", INFO, "incarnation", "")                    \
    X(NODE_READY, "node.ready", INFO, "members", "")                            \
    X(MESH_FOUNDED, "mesh.founded", INFO, "", "")                               \
    X(JOIN_STARTED, "join.started", INFO, "", "")                               \
    X(JOIN_DONE, "join.done", INFO, "", "")                                     \
    X(JOIN_REFUSED, "join.refused", WARN, "code", "")                           \
    X(JOIN_ADMITTED, "join.admitted", INFO, "token use", "")                    \
    X(JOIN_DENIED, "join.denied", WARN, "code", "")                             \
    X(JOIN_PENDING, "join.pending", WARN, "", "")                               \
    X(JOIN_MESH_WORDS, "join.mesh_words", WARN, "", "")                         \
    X(JOIN_WAITS, "join.waits", INFO, "waiting now", "")                        \
    X(JOIN_APPROVED, "join.approved", INFO, "", "")                             \
    X(NET_GARBAGE, "net.garbage", WARN, "counted so far", "")                   \
    X(HANDSHAKE_FAILED, "link.handshake_failed", WARN, "status", "")            \
    X(LINK_UP, "link.up", INFO, "", "")                                         \
    X(LINK_DOWN, "link.down", INFO, "status", "")                               \
    X(LINK_REFUSED, "link.refused", WARN, "status", "")                         \
    X(MEMBER_BANNED, "member.sent_away", WARN, "for ms", "fault score")         \
    X(DIAL_FAILED, "link.dial_failed", DEBUG, "attempts", "")                   \
    X(IDENTITY_IN_USE, "link.identity_in_use", WARN, "", "")                    \
    X(KEY_CONFLICT, "member.key_conflict", ERROR, "", "")                       \
    X(MEMBER_ALIVE, "member.alive", INFO, "incarnation", "")                    \
    X(MEMBER_SUSPECT, "member.suspect", WARN, "incarnation", "confirmations")   \
    X(MEMBER_DEAD, "member.dead", WARN, "incarnation", "")                      \
    X(MEMBER_LEFT, "member.left", INFO, "incarnation", "")                      \
    X(MEMBER_REFUTED, "member.refuted", INFO, "new incarnation", "")            \
    X(RECORD_REFUSED, "member.record_refused", WARN, "status", "")              \
    X(GRANT_REFUSED, "trust.grant_refused", WARN, "status", "")                 \
    X(AUTHORITY_FORK, "trust.authority_fork", ERROR, "version", "")             \
    X(CLOCK_ALARM, "trust.clock_alarm", WARN, "difference in ms", "")           \
    X(CATALOG_CHANGED, "catalog.changed", INFO, "version", "offers")            \
    X(CATALOG_REFUSED, "catalog.refused", WARN, "status", "")                   \
    X(SERVICE_CONFLICT, "service.conflict", WARN, "offers", "")                 \
    X(TOOL_CHANGED, "tool.changed", WARN, "", "")                               \
    X(CURATION_SET, "curation.set", INFO, "", "")                               \
    X(CURATION_CLEARED, "curation.cleared", INFO, "", "")                       \
    X(BREAKER_OPEN, "call.breaker_open", WARN, "open for ms", "")               \
    X(BREAKER_CLOSED, "call.breaker_closed", INFO, "", "")                      \
    X(CALL_FAILED_OVER, "call.failed_over", INFO, "attempt", "")                \
    X(CALL_UNKNOWN, "call.outcome_unknown", WARN, "", "")                       \
    X(SERVER_STARTING, "server.starting", INFO, "attempt", "")                  \
    X(SERVER_READY, "server.ready", INFO, "tools", "era")                       \
    X(SERVER_FAILED, "server.failed", WARN, "exit status", "next try in ms")    \
    X(SERVER_STOPPED, "server.stopped", INFO, "", "")                           \
    X(SERVER_NOISE, "server.noise", WARN, "lines that are not JSON-RPC", "")    \
    X(SERVER_STDERR, "server.stderr", DEBUG, "", "")                            \
    X(SESSION_OPENED, "session.opened", DEBUG, "", "")                          \
    X(SESSION_CLOSED, "session.closed", DEBUG, "", "")                          \
    X(HTTP_REFUSED, "http.refused", WARN, "status", "")                         \
    X(STORE_FAILED, "store.failed", ERROR, "status", "")                        \
    X(CLOCK_FINE, "trust.clock_fine", INFO, "", "")                             \
    X(DECISION_ASKED, "decision.asked", INFO, "deadline", "")                   \
    X(DECISION_OUTCOME, "decision.outcome", INFO, "outcome", "weight of yes")   \
    X(DECISION_LIAR, "decision.liar", WARN, "lie", "")                          \
    X(REVOKED, "trust.revoked", WARN, "at", "")                                 \
    X(KEY_MADE, "trust.key_made", INFO, "key id", "")                           \
    X(ITEM_REFUSED, "trust.item_refused", WARN, "status", "kind")               \
    X(AUTHORITY_CHANGED, "trust.authority_changed", INFO, "version", "issuers") \
    X(CONSENSUS_LEADER, "consensus.leader", INFO, "term", "group")              \
    X(CONSENSUS_FOLLOWER, "consensus.follower", INFO, "term", "group")          \
    X(CONSENSUS_DAMAGED, "consensus.damaged", ERROR, "whole up to index", "")   \
    X(CONSENSUS_HEALED, "consensus.healed", INFO, "up to index", "")            \
    X(CONSENSUS_RECOVERED, "consensus.recovered", WARN, "epoch", "from index")

enum mn_event {
    MN_EV_NONE = 0,
#define X(name, text, level, a, b) MN_EV_##name,
    MN_EVENT_LIST(X)
#undef X
        MN_EV_COUNT
};

#define MN_TRACE_TEXT_SIZE 96

struct mn_trace_event {
    mn_time mono;
    enum mn_event event;
    mn_id id; /* zero: none */
    uint64_t a, b;
    char text[MN_TRACE_TEXT_SIZE]; /* NUL-terminated, cut when longer */
};

struct mn_trace {
    struct mn_trace_event *ring;
    uint32_t capacity;
    uint64_t written, read; /* counts since init; written - read <= capacity */
    uint64_t lost;
};

/* [ring] has [capacity] >= 1 events and belongs to the caller. */
void mn_trace_init(struct mn_trace *trace, struct mn_trace_event *ring, uint32_t capacity);

/* [id] and [text] may be NULL. A NULL trace is allowed and drops the event. */
void mn_trace(struct mn_trace *trace, mn_time mono, enum mn_event event, const mn_id *id,
              uint64_t a, uint64_t b, const char *text);
void mn_trace_span(struct mn_trace *trace, mn_time mono, enum mn_event event, const mn_id *id,
                   uint64_t a, uint64_t b, struct mn_span text);

/* The oldest unread event, or NULL; valid until the next mn_trace(). */
const struct mn_trace_event *mn_trace_take(struct mn_trace *trace);

/* For drivers: "member.dead", its level, and what a and b mean ("" when unused). */
const char *mn_event_name(enum mn_event event);
enum mn_level mn_event_level(enum mn_event event);
const char *mn_event_a_name(enum mn_event event);
const char *mn_event_b_name(enum mn_event event);

#endif

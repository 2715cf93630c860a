/* Nodes that come without a token, and wait for people to let them in.
 *
 * The sponsor keeps the guest's link and tells all issuers that it is linked to, again each minute;
 * an issuer keeps a row per key, which ends when it was not told of for ten minutes, and after a
 * day in any case. Full lists refuse, so that nobody is pushed out by a crowd of made-up keys.
 * Whoever approves gives the whole id or all its words: a short prefix of an id can be ground. What
 * was approved is an issued grant like any other, and waits in the store for its node. */
#include "mesh/address.h"
#include "mesh/admission_internal.h"
#include "proto/base/check.h"
#include "proto/base/text.h"
#include "proto/pb.h"

#define WAITER_TELL MN_MINUTE         /* a sponsor tells the issuers again */
#define WAITER_LIFE MN_DAY            /* after this the guest begins anew */
#define PENDING_LIFE (10 * MN_MINUTE) /* after it was last told of */
#define PENDING_LIFE_ALL MN_DAY
#define PENDING_SWEEP MN_MINUTE
#define DENIED_LIFE_MS ((uint64_t)86400 * 1000)

/* Sponsor: a guest whose link is kept. */
struct waiter {
    struct mn_list all;
    struct timer timer;
    uint64_t link;
    mn_time since;
    uint32_t told, full; /* issuers, this time; those of them that had no room */
};

/* Issuer: a key that wants in. */
struct pending {
    struct mn_map_entry entry; /* by node id */
    uint8_t sign_pk[SIGN_PK_SIZE];
    uint8_t network[ADDRESS_NETWORK_SIZE];
    uint64_t link; /* of its sponsor; of the guest itself when that is us */
    mn_time since, heard;
    struct admission_pending_row row; /* words, sponsor and times are filled in when it is shown */
};

struct denied {
    mn_id node_id;
    uint64_t until_ms; /* wall; 0: a free row */
};

struct pending_book {
    struct mn_list waiters;
    uint32_t waiters_count;
    struct mn_map rows;
    struct timer sweep;
    struct denied denied[ADMISSION_DENIED_MAX];
};

/* ---- life ---- */

void admission_pending_init(struct admission *a)
{
    a->pending = mn_alloc(sizeof *a->pending);
    mn_list_init(&a->pending->waiters);
    mn_map_init(&a->pending->rows, rng_u64(&a->rng));
    a->pending->sweep.kind = TIMER_PENDING;
}

static void pending_drop(struct admission *a, struct pending *pending)
{
    mn_map_remove(&a->pending->rows, &pending->entry);
    mn_pool_free(&a->pool, pending);
}

static void waiter_drop(struct admission *a, struct waiter *waiter)
{
    mn_list_remove(&waiter->all);
    mn_heap_remove(&a->timers, &waiter->timer.entry);
    mn_pool_free(&a->pool, waiter);
    a->pending->waiters_count--;
}

void admission_pending_done(struct admission *a)
{
    struct mn_map_entry *entry;

    while ((entry = mn_map_next(&a->pending->rows, NULL)) != NULL)
        pending_drop(a, MN_CONTAINER(entry, struct pending, entry));
    while (!mn_list_is_empty(&a->pending->waiters))
        waiter_drop(a, MN_CONTAINER(a->pending->waiters.next, struct waiter, all));
    mn_map_done(&a->pending->rows);
    mn_heap_remove(&a->timers, &a->pending->sweep.entry);
    mn_free(a->pending);
    a->pending = NULL;
}

uint32_t admission_waiters_count(const struct admission *a)
{
    return a->pending->waiters_count;
}

uint32_t admission_pending_count(const struct admission *a)
{
    return a->pending->rows.count;
}

static struct waiter *waiter_find(const struct admission *a, uint64_t link)
{
    MN_LIST_FOR_EACH (at, &a->pending->waiters) {
        struct waiter *waiter = MN_CONTAINER(at, struct waiter, all);
        if (waiter->link == link) return waiter;
    }
    return NULL;
}

void admission_pending_forget(struct admission *a, const struct channel *channel)
{
    struct waiter *waiter = waiter_find(a, channel->id);

    if (waiter != NULL) waiter_drop(a, waiter);
}

/* ---- who was denied ---- */

bool admission_is_denied(struct admission *a, const mn_id *node_id)
{
    uint64_t wall_ms = mn_wall_ms(a->now);

    for (uint32_t i = 0; i < ADMISSION_DENIED_MAX; i++) {
        const struct denied *denied = &a->pending->denied[i];
        if (denied->until_ms > wall_ms && mn_id_equal(&denied->node_id, node_id)) return true;
    }
    return false;
}

/* Its row, else one whose time is over; NULL: there is no room. */
static struct denied *denied_row(struct admission *a, const mn_id *node_id)
{
    uint64_t wall_ms = mn_wall_ms(a->now);
    struct denied *free_row = NULL;

    for (uint32_t i = 0; i < ADMISSION_DENIED_MAX; i++) {
        struct denied *denied = &a->pending->denied[i];
        if (denied->until_ms != 0 && mn_id_equal(&denied->node_id, node_id)) return denied;
        if (free_row == NULL && denied->until_ms <= wall_ms) free_row = denied;
    }
    return free_row;
}

static bool deny(struct admission *a, const mn_id *node_id)
{
    struct denied *denied = denied_row(a, node_id);
    uint8_t value[8];

    if (denied == NULL) return false;
    if (denied->until_ms != 0 && !mn_id_equal(&denied->node_id, node_id))
        admission_persist_delete(a, admission_key(a, "denied", &denied->node_id));
    *denied = (struct denied){*node_id, mn_wall_ms(a->now) + DENIED_LIFE_MS};
    mn_store_u64(value, denied->until_ms);
    admission_persist(a, admission_key(a, "denied", node_id), mn_span(value, sizeof value));
    return true;
}

void admission_recover_denied(struct admission *a, struct mn_span key, struct mn_span value)
{
    size_t prefix = sizeof "denied/" - 1;
    struct denied *denied;
    mn_id node_id;

    if (value.size != 8 || mn_hex_decode(mn_span(key.data + prefix, key.size - prefix),
                                         node_id.bytes, sizeof node_id.bytes) != MN_OK)
        return;
    denied = denied_row(a, &node_id);
    if (denied != NULL) *denied = (struct denied){node_id, mn_load_u64(value.data)};
}

/* ---- the issuer's rows ---- */

static struct pending *pending_find(const struct admission *a, const mn_id *node_id)
{
    struct mn_map_entry *entry =
        mn_map_find(&a->pending->rows, mn_span(node_id->bytes, sizeof node_id->bytes));

    return entry == NULL ? NULL : MN_CONTAINER(entry, struct pending, entry);
}

static void pending_sweep(struct admission *a)
{
    struct mn_map_entry *at = mn_map_next(&a->pending->rows, NULL);

    while (at != NULL) {
        struct mn_map_entry *next = mn_map_next(&a->pending->rows, at);
        struct pending *pending = MN_CONTAINER(at, struct pending, entry);
        if (a->now.mono - pending->heard >= PENDING_LIFE ||
            a->now.mono - pending->since >= PENDING_LIFE_ALL)
            pending_drop(a, pending);
        at = next;
    }
}

void admission_on_pending_timer(struct admission *a)
{
    pending_sweep(a);
    if (a->pending->rows.count > 0)
        admission_set_timer(a, &a->pending->sweep, mn_time_after(a->now.mono, PENDING_SWEEP));
}

/* The /24 of IPv4, the /64 of IPv6. */
static void pending_network(struct mn_span address, uint8_t ret[ADDRESS_NETWORK_SIZE])
{
    address_network(address, ret);
    if (ret[0] == 4) ret[4] = 0;
}

static bool pending_has_room(const struct admission *a, const uint8_t network[ADDRESS_NETWORK_SIZE])
{
    struct mn_map_entry *at = NULL;
    uint32_t same = 0;

    if (a->pending->rows.count >= ADMISSION_PENDING_MAX) return false;
    while ((at = mn_map_next(&a->pending->rows, at)) != NULL)
        if (memcmp(MN_CONTAINER(at, struct pending, entry)->network, network,
                   ADDRESS_NETWORK_SIZE) == 0)
            same++;
    return same < ADMISSION_PENDING_NETWORK_MAX;
}

static struct pending *pending_add(struct admission *a, const mn_id *node_id,
                                   struct mn_span address)
{
    uint8_t network[ADDRESS_NETWORK_SIZE];
    struct pending *pending;

    pending_sweep(a);
    pending_network(address, network);
    if (!pending_has_room(a, network)) {
        MN_PROBE("admission: the list of those who wait is full");
        return NULL;
    }
    pending = mn_pool_alloc(&a->pool, sizeof *pending);
    if (pending == NULL) return NULL;
    pending->since = a->now.mono;
    pending->row.node_id = *node_id;
    pending->row.since_ms = mn_wall_ms(a->now);
    memcpy(pending->network, network, sizeof network);
    mn_map_insert(&a->pending->rows, &pending->entry,
                  mn_span(pending->row.node_id.bytes, sizeof *node_id));
    if (a->pending->rows.count == 1)
        admission_set_timer(a, &a->pending->sweep, mn_time_after(a->now.mono, PENDING_SWEEP));
    return pending;
}

/* One wants in, says the sponsor behind [link]: gets its grant if it was approved meanwhile.
 * PENDING: it is listed. */
static admission_code pending_take(struct admission *a, const struct invite_join *join,
                                   struct mn_span address, const struct channel *from,
                                   struct mn_span *ret_grant)
{
    mn_id node_id = digest_node_id(join->sign_pk);
    admission_code code = admission_decide(a, join, ret_grant);
    struct pending *pending = pending_find(a, &node_id);
    bool is_new = pending == NULL;

    if (code != CODE(DENIED) || admission_is_denied(a, &node_id)) {
        if (pending != NULL) pending_drop(a, pending);
        return code;
    }
    if (pending == NULL) pending = pending_add(a, &node_id, address);
    if (pending == NULL) return CODE(PENDING_FULL);
    pending->heard = a->now.mono;
    pending->link = from->id;
    pending->row.sponsor =
        from->peer.kind == ADMISSION_LINK_GUEST ? a->config.self->node_id : from->peer.node_id;
    memcpy(pending->sign_pk, join->sign_pk, SIGN_PK_SIZE);
    memcpy(pending->row.name, join->name, sizeof pending->row.name);
    memcpy(pending->row.region, join->region, sizeof pending->row.region);
    pending->row.role = join->role;
    memset(pending->row.address, 0, sizeof pending->row.address);
    if (address.size > 0 && address.size < sizeof pending->row.address)
        memcpy(pending->row.address, address.data, address.size);
    if (is_new)
        admission_trace(a, MN_EV_JOIN_WAITS, &node_id, a->pending->rows.count, 0, join->name);
    return CODE(PENDING);
}

/* ---- issuer and sponsor ---- */

static void waiting_answer_send(struct admission *a, uint64_t link, const uint8_t *sign_pk,
                                admission_code code, struct mn_span grant)
{
    Meshnode__Trust__Admission message = MESHNODE__TRUST__ADMISSION__INIT;
    Meshnode__Trust__WaitingAnswer answer = MESHNODE__TRUST__WAITING_ANSWER__INIT;
    Meshnode__Trust__Granted granted = MESHNODE__TRUST__GRANTED__INIT;
    Meshnode__Trust__Refused refused = MESHNODE__TRUST__REFUSED__INIT;

    answer.sign_pk = pb_bytes(mn_span(sign_pk, SIGN_PK_SIZE));
    if (code == CODE(NONE)) {
        granted.grant = pb_bytes(grant);
        answer.granted = &granted;
    } else {
        refused.code = code;
        answer.refused = &refused;
    }
    message.what_case = MESHNODE__TRUST__ADMISSION__WHAT_WAITING_ANSWER;
    message.waiting_answer = &answer;
    admission_send(a, link, &message, true);
}

static struct mn_span text_of(const char *text)
{
    return text == NULL ? mn_span(NULL, 0) : mn_span_str(text);
}

/* As issuer: the sponsor answers for the binding to its link, as with a JOIN that it forwards. */
void admission_on_waiting(struct admission *a, struct channel *channel,
                          const Meshnode__Trust__Waiting *message)
{
    struct mn_span grant = mn_span(NULL, 0), address = text_of(message->address);
    struct invite_join join;
    admission_code code;
    mn_status status;

    if (a->state != ADMISSION_MEMBER) return;
    status = invite_join_decode(pb_span(message->join), a->outbox->arena, &join);
    if (status == MN_OK)
        status = invite_join_check(&join, &authority_chain_head(&a->chain)->mesh_id, NULL);
    if (status == MN_OK && !mn_id_is_zero(&join.token_id)) status = MN_MALFORMED;
    if (status != MN_OK || address.size >= ADMISSION_ADDRESS_SIZE) {
        admission_on_malformed(a, channel, status == MN_OK ? MN_TOO_BIG : status);
        return;
    }
    if (!admission_is_issuer(a)) return; /* its chain is older than ours, or newer */
    code = pending_take(a, &join, address, channel, &grant);
    if (code != CODE(PENDING) && code != CODE(ISSUER_UNAVAILABLE))
        waiting_answer_send(a, channel->id, join.sign_pk, code, grant);
}

/* ---- the sponsor ---- */

static void waiter_end(struct admission *a, struct channel *guest, admission_code code,
                       struct mn_span grant)
{
    admission_pending_forget(a, guest);
    guest->join = mn_buf_unref(guest->join); /* this answer stands */
    if (code == CODE(NONE))
        admission_answer_granted(a, guest, grant);
    else
        admission_answer_refused(a, guest, code);
}

/* As an issuer the sponsor decides itself. False: the wait is over. */
static bool waiter_ask_self(struct admission *a, struct waiter *waiter, struct channel *guest)
{
    struct mn_span grant = mn_span(NULL, 0);
    struct invite_join join;
    admission_code code;

    if (!admission_is_issuer(a)) return true;
    if (invite_join_decode(mn_buf_span(guest->join), a->outbox->arena, &join) != MN_OK) return true;
    waiter->told++;
    code = pending_take(a, &join, mn_span_str(guest->address), guest, &grant);
    if (code == CODE(PENDING_FULL)) waiter->full++;
    if (code == CODE(PENDING) || code == CODE(ISSUER_UNAVAILABLE) || code == CODE(PENDING_FULL))
        return true;
    waiter_end(a, guest, code, grant);
    return false;
}

static void waiter_tell_issuers(struct admission *a, struct waiter *waiter,
                                const struct channel *guest)
{
    const struct authority *head = authority_chain_head(&a->chain);
    Meshnode__Trust__Admission message = MESHNODE__TRUST__ADMISSION__INIT;
    Meshnode__Trust__Waiting waiting = MESHNODE__TRUST__WAITING__INIT;
    char address[ADMISSION_ADDRESS_SIZE];

    memcpy(address, guest->address, sizeof address);
    waiting.join = pb_bytes(mn_buf_span(guest->join));
    waiting.address = address;
    message.what_case = MESHNODE__TRUST__ADMISSION__WHAT_WAITING;
    message.waiting = &waiting;
    MN_LIST_FOR_EACH (at, &a->links_all) {
        const struct channel *channel = MN_CONTAINER(at, struct channel, all);
        if (channel->peer.kind != ADMISSION_LINK_MEMBER || channel->is_closing) continue;
        if (!authority_is_issuer(head, channel->peer.sign_pk)) continue;
        waiter->told++;
        admission_send(a, channel->id, &message, false);
    }
}

/* Tells all issuers. False: the wait is over. */
static bool waiter_tell(struct admission *a, struct waiter *waiter, struct channel *guest)
{
    waiter->told = waiter->full = 0;
    if (!waiter_ask_self(a, waiter, guest)) return false;
    waiter_tell_issuers(a, waiter, guest);
    if (waiter->told > 0 && waiter->full == waiter->told) {
        waiter_end(a, guest, CODE(PENDING_FULL), mn_span(NULL, 0));
        return false;
    }
    admission_set_timer(a, &waiter->timer, mn_time_after(a->now.mono, WAITER_TELL));
    admission_emit(a, ADMISSION_OUT_WAITS)->waits.link = guest->id;
    return true;
}

static void waiting_send_pending(struct admission *a, struct channel *guest)
{
    Meshnode__Trust__Admission message = MESHNODE__TRUST__ADMISSION__INIT;
    Meshnode__Trust__Refused refused = MESHNODE__TRUST__REFUSED__INIT;

    refused.code = CODE(PENDING);
    message.what_case = MESHNODE__TRUST__ADMISSION__WHAT_REFUSED;
    message.refused = &refused;
    admission_send(a, guest->id, &message, false);
}

bool admission_pending_begin(struct admission *a, struct channel *channel)
{
    struct waiter *waiter;

    if (channel->peer.kind != ADMISSION_LINK_GUEST || channel->join == NULL) return false;
    if (authority_chain_head(&a->chain)->dev || channel->is_closing) return false;
    waiter = a->pending->waiters_count < ADMISSION_PENDING_SPONSOR_MAX
                 ? mn_pool_alloc(&a->pool, sizeof *waiter)
                 : NULL;
    if (waiter == NULL) {
        channel->join = mn_buf_unref(channel->join);
        admission_answer_refused(a, channel, CODE(PENDING_FULL));
        return true;
    }
    waiter->link = channel->id;
    waiter->since = a->now.mono;
    waiter->timer.kind = TIMER_WAITER;
    mn_list_push_back(&a->pending->waiters, &waiter->all);
    a->pending->waiters_count++;
    if (waiter_tell(a, waiter, channel)) waiting_send_pending(a, channel);
    return true;
}

void admission_on_waiter_timer(struct admission *a, struct timer *timer)
{
    struct waiter *waiter = MN_CONTAINER(timer, struct waiter, timer);
    struct channel *guest = admission_find_channel(a, waiter->link);

    MN_ASSERT(guest != NULL && guest->join != NULL);
    if (a->state != ADMISSION_MEMBER || a->now.mono - waiter->since >= WAITER_LIFE)
        waiter_end(a, guest, CODE(BUSY), mn_span(NULL, 0));
    else
        (void)waiter_tell(a, waiter, guest);
}

static struct channel *waiter_guest(struct admission *a, struct mn_span sign_pk)
{
    if (sign_pk.size != SIGN_PK_SIZE) return NULL;
    MN_LIST_FOR_EACH (at, &a->pending->waiters) {
        struct waiter *waiter = MN_CONTAINER(at, struct waiter, all);
        struct channel *guest = admission_find_channel(a, waiter->link);
        if (guest != NULL && mn_span_equal(mn_span(guest->peer.sign_pk, SIGN_PK_SIZE), sign_pk))
            return guest;
    }
    return NULL;
}

void admission_on_waiting_answer(struct admission *a, struct channel *channel,
                                 const Meshnode__Trust__WaitingAnswer *answer)
{
    struct channel *guest = waiter_guest(a, pb_span(answer->sign_pk));
    struct waiter *waiter;
    struct grant grant;

    if (!authority_is_issuer(authority_chain_head(&a->chain), channel->peer.sign_pk)) {
        admission_on_malformed(a, channel, MN_UNKNOWN_ISSUER);
        return;
    }
    if (guest == NULL) return; /* it went away */
    waiter = waiter_find(a, guest->id);
    if (answer->granted != NULL) {
        struct mn_span bytes = pb_span(answer->granted->grant);
        if (admission_check_peer(a, a->now, bytes, guest->peer.sign_pk, &grant) == MN_OK)
            waiter_end(a, guest, CODE(NONE), bytes);
    } else if (answer->refused == NULL || answer->refused->code == CODE(NONE)) {
        return;
    } else if (answer->refused->code != CODE(PENDING_FULL) || ++waiter->full >= waiter->told) {
        waiter_end(a, guest, answer->refused->code, mn_span(NULL, 0));
    }
}

/* ---- people ---- */

static void pending_reply(struct admission *a, uint64_t request, mn_status status,
                          const struct admission_pending_row *items, uint32_t count)
{
    struct admission_output *output = admission_emit(a, ADMISSION_OUT_PENDING);

    output->pending.request = request;
    output->pending.status = status;
    output->pending.items = items;
    output->pending.count = count;
    output->after_write = true;
}

static void pending_show(const struct admission *a, const struct pending *pending,
                         struct admission_pending_row *ret)
{
    *ret = pending->row;
    words_of(mn_span(pending->sign_pk, SIGN_PK_SIZE), ret->words);
    ret->heard_ms = (a->now.mono - pending->heard) / MN_MS;
}

void admission_on_pending_list(struct admission *a, uint64_t request)
{
    struct admission_pending_row *rows;
    struct mn_map_entry *at = NULL;
    uint32_t count = 0;

    if (!admission_is_issuer(a)) {
        pending_reply(a, request, MN_DENIED, NULL, 0);
        return;
    }
    pending_sweep(a);
    rows = mn_arena_alloc(a->outbox->arena, (a->pending->rows.count + 1) * sizeof *rows);
    while ((at = mn_map_next(&a->pending->rows, at)) != NULL)
        pending_show(a, MN_CONTAINER(at, struct pending, entry), &rows[count++]);
    pending_reply(a, request, MN_OK, rows, count);
}

/* The whole id, or all words; nothing shorter. */
static struct pending *pending_named(const struct admission *a, struct mn_span who)
{
    struct mn_map_entry *at = NULL;
    mn_id node_id;

    if (mn_id_parse(who, &node_id) == MN_OK) return pending_find(a, &node_id);
    while ((at = mn_map_next(&a->pending->rows, at)) != NULL) {
        struct pending *pending = MN_CONTAINER(at, struct pending, entry);
        if (words_match(who, mn_span(pending->sign_pk, SIGN_PK_SIZE))) return pending;
    }
    return NULL;
}

/* Carries what was decided to where the node waits, if it still does there; the row is gone then.
 */
static void pending_decided(struct admission *a, struct pending *pending, admission_code code,
                            struct mn_span grant)
{
    struct channel *channel = admission_find_channel(a, pending->link);

    if (channel != NULL && channel->peer.kind == ADMISSION_LINK_MEMBER)
        waiting_answer_send(a, channel->id, pending->sign_pk, code, grant);
    else if (channel != NULL && waiter_find(a, channel->id) != NULL)
        waiter_end(a, channel, code, grant);
    pending_drop(a, pending);
}

static mn_status status_of_code(admission_code code)
{
    if (code == CODE(NONE)) return MN_OK;
    return code == CODE(NAME_TAKEN) ? MN_EXISTS : MN_FULL;
}

void admission_on_pending_approve(struct admission *a, const struct admission_input *input)
{
    struct grant grant = {.via = VIA(APPROVE)};
    struct mn_span bytes = mn_span(NULL, 0);
    struct admission_pending_row *row;
    struct pending *pending;
    admission_code code;
    mn_status status = MN_OK;

    pending_sweep(a);
    pending = pending_named(a, input->pending.who);
    if (!admission_is_issuer(a))
        status = MN_DENIED;
    else if (admission_clock_is_off(a))
        status = MN_NOT_YET;
    else if (pending == NULL)
        status = MN_NOT_FOUND;
    if (status != MN_OK) {
        pending_reply(a, input->pending.request, status, NULL, 0);
        return;
    }
    row = mn_arena_alloc(a->outbox->arena, sizeof *row);
    pending_show(a, pending, row);
    grant.role_max = input->pending.has_role ? input->pending.role : pending->row.role;
    /* To admit others some day is not for a node to ask for, only for people to give. */
    grant.issuer_eligible = input->pending.has_role && grant.role_max == ROLE(VOTER);
    memcpy(grant.sign_pk, pending->sign_pk, SIGN_PK_SIZE);
    memcpy(grant.name, pending->row.name, sizeof grant.name);
    memcpy(grant.region, pending->row.region, sizeof grant.region);
    code = admission_issue_approved(a, &grant, &bytes);
    if (code == CODE(NONE)) {
        row->role = grant.role_max;
        pending_decided(a, pending, code, bytes);
    }
    pending_reply(a, input->pending.request, status_of_code(code), row, code == CODE(NONE));
}

void admission_on_pending_deny(struct admission *a, const struct admission_input *input)
{
    struct admission_pending_row *row = mn_arena_alloc(a->outbox->arena, sizeof *row);
    struct pending *pending = pending_named(a, input->pending.who);
    mn_status status = MN_OK;
    mn_id node_id;

    *row = (struct admission_pending_row){.role = ROLE(AUTO)};
    if (pending != NULL) {
        node_id = pending->row.node_id;
        pending_show(a, pending, row);
    } else if (mn_id_parse(input->pending.who, &node_id) == MN_OK) {
        row->node_id = node_id; /* one that has not come yet may be denied too, by its whole id */
    } else {
        status = MN_NOT_FOUND;
    }
    if (!admission_is_issuer(a)) status = MN_DENIED;
    if (status == MN_OK && !deny(a, &node_id)) status = MN_FULL;
    if (status == MN_OK && pending != NULL)
        pending_decided(a, pending, CODE(DENIED), mn_span(NULL, 0));
    pending_reply(a, input->pending.request, status, row, status == MN_OK);
}

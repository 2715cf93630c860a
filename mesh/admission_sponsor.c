/* The sponsor: any member that a guest reached. It shows the chain, checks that a JOIN was made for
 * this very link, and carries it to an issuer; it decides nothing. */
#include "mesh/admission_internal.h"
#include "proto/base/check.h"
#include "proto/pb.h"

/* ---- ASK ---- */

/* The found of this token, or the first one when none is named; NULL without any. */
static const struct found_entry *admission_choose_found(const struct admission *a,
                                                        const mn_id *token_id)
{
    for (uint32_t i = 0; i < a->founds_count; i++) {
        mn_id id = digest_token_id(a->founds[i].token_pk);
        if (token_id == NULL || mn_id_equal(&id, token_id)) return &a->founds[i];
    }
    return NULL;
}

static void admission_send_batch(struct admission *a, struct channel *channel,
                                 ProtobufCBinaryData *documents, uint32_t count,
                                 const struct found_entry *found, bool more, bool after_write)
{
    Meshnode__Trust__Admission message = MESHNODE__TRUST__ADMISSION__INIT;
    Meshnode__Trust__AuthorityChain chain = MESHNODE__TRUST__AUTHORITY_CHAIN__INIT;

    chain.documents = documents;
    chain.n_documents = count;
    chain.more = more;
    if (found != NULL) chain.found = pb_bytes(mn_buf_span(found->bytes));
    message.what_case = MESHNODE__TRUST__ADMISSION__WHAT_AUTHORITY;
    message.authority = &chain;
    admission_send(a, channel->id, &message, after_write);
}

void admission_send_chain(struct admission *a, struct channel *channel, uint32_t from,
                          const struct found_entry *found, bool after_write)
{
    ProtobufCBinaryData documents[ADMISSION_BATCH_MAX / AUTHORITY_SIZE_MAX];
    const uint32_t batch_max = sizeof documents / sizeof documents[0];
    uint32_t count = 0;

    for (uint32_t i = from; i < a->chain.count; i++) {
        documents[count++] = pb_bytes(mn_buf_span(a->chain.items[i]->document));
        if (count < batch_max && i + 1 < a->chain.count) continue;
        admission_send_batch(a, channel, documents, count, found, i + 1 < a->chain.count,
                             after_write);
        count = 0;
    }
}

static uint32_t admission_chain_from(const struct admission *a, struct mn_span pin)
{
    if (pin.size != DIGEST_PIN_SIZE) return 0;
    for (uint32_t i = 0; i < a->chain.count; i++)
        if (memcmp(authority_pin(a->chain.items[i]), pin.data, DIGEST_PIN_SIZE) == 0) return i;
    return 0; /* unknown here: let the asker see for itself */
}

void admission_on_ask(struct admission *a, struct channel *channel, const Meshnode__Trust__Ask *ask)
{
    const struct found_entry *found = NULL;
    mn_id token_id;

    if (a->state != ADMISSION_MEMBER) return;
    if (pb_id(ask->token_id, &token_id) == MN_OK) found = admission_choose_found(a, &token_id);
    admission_send_chain(a, channel, admission_chain_from(a, pb_span(ask->pin)), found, false);
}

/* A guest believes a refusal only from one that has shown the chain. */
void admission_on_refuse_input(struct admission *a, uint64_t link, admission_code code)
{
    struct channel *channel = admission_find_channel(a, link);

    if (channel == NULL || a->state != ADMISSION_MEMBER) return;
    if (channel->peer.kind == ADMISSION_LINK_GUEST)
        admission_send_chain(a, channel, 0, admission_choose_found(a, NULL), false);
    admission_send_refused(a, link, code);
    admission_trace(a, MN_EV_JOIN_DENIED, &channel->peer.node_id, (uint64_t)code, 0,
                    admission_code_name(code));
    admission_close(a, channel, MN_DENIED);
}

/* ---- answers to the guest ---- */

void admission_fill_founds(struct admission *a, Meshnode__Trust__Granted *granted)
{
    struct mn_arena *arena = a->outbox->arena;
    Meshnode__Trust__TokenFound *items;

    if (a->founds_count == 0) return;
    items = mn_arena_alloc(arena, a->founds_count * sizeof *items);
    granted->n_founds = a->founds_count;
    granted->founds = mn_arena_alloc(arena, a->founds_count * sizeof granted->founds[0]);
    for (uint32_t i = 0; i < a->founds_count; i++) {
        meshnode__trust__token_found__init(&items[i]);
        items[i].token_pk = pb_bytes(mn_span(a->founds[i].token_pk, SIGN_PK_SIZE));
        items[i].found = pb_bytes(mn_buf_span(a->founds[i].bytes));
        granted->founds[i] = &items[i];
    }
}

void admission_answer_granted(struct admission *a, struct channel *channel, struct mn_span grant)
{
    Meshnode__Trust__Admission message = MESHNODE__TRUST__ADMISSION__INIT;
    Meshnode__Trust__Granted granted = MESHNODE__TRUST__GRANTED__INIT;
    struct admission_output *output;

    granted.grant = pb_bytes(grant);
    admission_fill_founds(a, &granted);
    message.what_case = MESHNODE__TRUST__ADMISSION__WHAT_GRANTED;
    message.granted = &granted;
    channel->is_waiting = false;
    admission_send(a, channel->id, &message, true);
    if (channel->peer.kind != ADMISSION_LINK_GUEST) return; /* a renewal */
    admission_pending_forget(a, channel);

    channel->peer.kind = ADMISSION_LINK_MEMBER;
    output = admission_emit(a, ADMISSION_OUT_ADMITTED);
    output->after_write = true;
    output->admitted.link = channel->id;
    output->admitted.node_id = channel->peer.node_id;
    output->admitted.grant = mn_arena_copy(a->outbox->arena, grant);
}

void admission_answer_refused(struct admission *a, struct channel *channel, admission_code code)
{
    channel->is_waiting = false;
    if (code == CODE(DENIED) && admission_pending_begin(a, channel)) return;
    admission_send_refused(a, channel->id, code);
    admission_trace(a, MN_EV_JOIN_DENIED, &channel->peer.node_id, (uint64_t)code, 0,
                    admission_code_name(code));
}

/* ---- JOIN ---- */

/* Is it well-formed, made for this link by the holder of this link's keys, and signed? */
static mn_status admission_check_join(struct admission *a, struct channel *channel,
                                      struct mn_span bytes, struct invite_join *ret)
{
    const struct authority *head = authority_chain_head(&a->chain);
    mn_status status = invite_join_decode(bytes, a->outbox->arena, ret);

    if (status != MN_OK) return status;
    if (memcmp(ret->sign_pk, channel->peer.sign_pk, SIGN_PK_SIZE) != 0 ||
        memcmp(ret->noise_pk, channel->peer.noise_pk, IDENTITY_NOISE_SIZE) != 0)
        return MN_DENIED;
    return invite_join_check(ret, &head->mesh_id, channel->peer.handshake);
}

/* Who must redeem this token, because it counts its uses; NULL: any issuer. */
static const uint8_t *admission_home_of(const struct admission *a, const mn_id *token_id)
{
    const struct invite_entry *entry =
        mn_id_is_zero(token_id) ? NULL : admission_find_invite(a, token_id);

    if (entry == NULL || entry->bytes == NULL || entry->invite.uses == 0) return NULL;
    return entry->invite.home;
}

/* A link to a member that may issue, to the home of the token if it is linked; or NULL. */
static struct channel *admission_issuer_link(struct admission *a, const uint8_t *home)
{
    const struct authority *head = authority_chain_head(&a->chain);
    struct channel *any = NULL;

    MN_LIST_FOR_EACH (at, &a->links_all) {
        struct channel *channel = MN_CONTAINER(at, struct channel, all);
        if (channel->peer.kind != ADMISSION_LINK_MEMBER || channel->is_closing ||
            !authority_is_issuer(head, channel->peer.sign_pk))
            continue;
        if (home == NULL || memcmp(channel->peer.sign_pk, home, SIGN_PK_SIZE) == 0) return channel;
        any = channel;
    }
    return any;
}

static void admission_forward_done(struct admission *a, struct forward *forward)
{
    mn_list_remove(&forward->all);
    mn_heap_remove(&a->timers, &forward->timer.entry);
    mn_pool_free(&a->pool, forward);
    a->forwards_count--;
}

void admission_forwards_done(struct admission *a)
{
    while (!mn_list_is_empty(&a->forwards))
        admission_forward_done(a, MN_CONTAINER(a->forwards.next, struct forward, all));
}

static struct forward *admission_add_forward(struct admission *a, struct channel *channel)
{
    struct forward *forward;

    if (a->forwards_count == ADMISSION_FORWARDS_MAX) return NULL;
    forward = mn_pool_alloc(&a->pool, sizeof *forward);
    if (forward == NULL) return NULL;
    forward->ticket = ++a->ticket_last;
    forward->link = channel->id;
    forward->timer.kind = TIMER_FORWARD;
    memcpy(forward->sign_pk, channel->peer.sign_pk, SIGN_PK_SIZE);
    mn_list_push_back(&a->forwards, &forward->all);
    a->forwards_count++;
    admission_set_timer(a, &forward->timer, mn_time_after(a->now.mono, ADMISSION_FORWARD_TIMEOUT));
    return forward;
}

static void admission_forward_join(struct admission *a, struct channel *channel,
                                   struct mn_span bytes, const uint8_t *home)
{
    Meshnode__Trust__Admission message = MESHNODE__TRUST__ADMISSION__INIT;
    Meshnode__Trust__Forward what = MESHNODE__TRUST__FORWARD__INIT;
    struct channel *issuer = admission_issuer_link(a, home);
    struct forward *forward;

    if (issuer == NULL) {
        admission_answer_refused(a, channel, CODE(ISSUER_UNAVAILABLE));
        return;
    }
    forward = admission_add_forward(a, channel);
    if (forward == NULL) {
        admission_answer_refused(a, channel, CODE(BUSY));
        return;
    }
    channel->is_waiting = true;
    what.ticket = forward->ticket;
    what.join = pb_bytes(bytes);
    message.what_case = MESHNODE__TRUST__ADMISSION__WHAT_FORWARD;
    message.forward = &what;
    admission_send(a, issuer->id, &message, false);
}

/* One that shows no token may have to wait for people, who are told of it by these very bytes. */
static void admission_keep_join(struct admission *a, struct channel *channel,
                                const struct invite_join *join, struct mn_span bytes)
{
    admission_pending_forget(a, channel); /* it asks anew */
    channel->join = mn_buf_unref(channel->join);
    if (channel->peer.kind == ADMISSION_LINK_GUEST && mn_id_is_zero(&join->token_id))
        channel->join = mn_buf_copy(bytes);
}

void admission_on_join_message(struct admission *a, struct channel *channel, struct mn_span bytes)
{
    struct invite_join join;
    struct mn_span grant;
    const uint8_t *home;
    admission_code code;
    mn_status status;

    if (a->state != ADMISSION_MEMBER) return;
    status = admission_check_join(a, channel, bytes, &join);
    if (status == MN_WRONG_MESH) {
        admission_answer_refused(a, channel, CODE(MESH_MISMATCH));
        return;
    }
    if (status != MN_OK) {
        MN_PROBE("admission: a JOIN that was bent, or made for another link");
        admission_on_malformed(a, channel, status);
        return;
    }
    if (channel->is_waiting) {
        admission_send_refused(a, channel->id, CODE(BUSY));
        return;
    }
    admission_keep_join(a, channel, &join, bytes);
    home = admission_home_of(a, &join.token_id);
    if (!admission_is_issuer(a) ||
        (home != NULL && memcmp(home, a->config.self->key.pk, SIGN_PK_SIZE) != 0)) {
        admission_forward_join(a, channel, bytes, home);
        return;
    }
    code = admission_decide(a, &join, &grant);
    if (code == CODE(NONE))
        admission_answer_granted(a, channel, grant);
    else
        admission_answer_refused(a, channel, code);
}

/* ---- sponsor and issuer ---- */

static void admission_answer_forward(struct admission *a, struct channel *sponsor, uint64_t ticket,
                                     admission_code code, struct mn_span grant)
{
    Meshnode__Trust__Admission message = MESHNODE__TRUST__ADMISSION__INIT;
    Meshnode__Trust__ForwardAnswer answer = MESHNODE__TRUST__FORWARD_ANSWER__INIT;
    Meshnode__Trust__Granted granted = MESHNODE__TRUST__GRANTED__INIT;
    Meshnode__Trust__Refused refused = MESHNODE__TRUST__REFUSED__INIT;

    answer.ticket = ticket;
    if (code == CODE(NONE)) {
        granted.grant = pb_bytes(grant);
        answer.granted = &granted;
    } else {
        refused.code = code;
        answer.refused = &refused;
    }
    message.what_case = MESHNODE__TRUST__ADMISSION__WHAT_FORWARD_ANSWER;
    message.forward_answer = &answer;
    admission_send(a, sponsor->id, &message, true);
}

/* As issuer. The sponsor answers for the binding to its link; all else is checked again. */
void admission_on_forward(struct admission *a, struct channel *channel,
                          const Meshnode__Trust__Forward *forward)
{
    struct invite_join join;
    struct mn_span grant = mn_span(NULL, 0);
    admission_code code = CODE(ISSUER_UNAVAILABLE);
    mn_status status;

    if (a->state != ADMISSION_MEMBER) return;
    status = invite_join_decode(pb_span(forward->join), a->outbox->arena, &join);
    if (status == MN_OK)
        status = invite_join_check(&join, &authority_chain_head(&a->chain)->mesh_id, NULL);
    if (status != MN_OK) {
        admission_on_malformed(a, channel, status); /* the sponsor should have seen that */
        return;
    }
    if (admission_is_issuer(a)) code = admission_decide(a, &join, &grant);
    admission_answer_forward(a, channel, forward->ticket, code, grant);
}

static struct forward *admission_find_forward(struct admission *a, uint64_t ticket)
{
    MN_LIST_FOR_EACH (at, &a->forwards) {
        struct forward *forward = MN_CONTAINER(at, struct forward, all);
        if (forward->ticket == ticket) return forward;
    }
    return NULL;
}

/* Only what will count everywhere is handed on, and only to whom it names. */
static mn_status admission_check_forwarded(struct admission *a, const struct forward *forward,
                                           struct mn_span bytes)
{
    struct grant grant;

    return admission_check_peer(a, a->now, bytes, forward->sign_pk, &grant);
}

/* As sponsor. */
void admission_on_forward_answer(struct admission *a, struct channel *channel,
                                 const Meshnode__Trust__ForwardAnswer *answer)
{
    struct forward *forward = admission_find_forward(a, answer->ticket);
    struct channel *guest;
    admission_code code = CODE(ISSUER_UNAVAILABLE);

    if (forward == NULL) return; /* answered too late */
    if (!authority_is_issuer(authority_chain_head(&a->chain), channel->peer.sign_pk)) {
        admission_on_malformed(a, channel, MN_UNKNOWN_ISSUER);
        return;
    }
    guest = admission_find_channel(a, forward->link);
    if (answer->refused != NULL && answer->refused->code != CODE(NONE))
        code = answer->refused->code;
    if (guest != NULL && answer->granted != NULL &&
        admission_check_forwarded(a, forward, pb_span(answer->granted->grant)) == MN_OK)
        admission_answer_granted(a, guest, pb_span(answer->granted->grant));
    else if (guest != NULL)
        admission_answer_refused(a, guest, code);
    admission_forward_done(a, forward);
}

void admission_on_forward_timer(struct admission *a, struct forward *forward)
{
    struct channel *guest = admission_find_channel(a, forward->link);

    if (guest != NULL) admission_answer_refused(a, guest, CODE(ISSUER_UNAVAILABLE));
    admission_forward_done(a, forward);
}

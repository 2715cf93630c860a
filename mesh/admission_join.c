/* The joiner: ASK -> AUTHORITY -> JOIN -> GRANTED or REFUSED, on every link to a seed at once until
 * one has proved the right mesh. */
#include <sodium.h>

#include "mesh/admission_internal.h"
#include "proto/base/check.h"
#include "proto/pb.h"

static bool is_sponsor(const struct channel *channel)
{
    return channel->peer.kind == ADMISSION_LINK_SPONSOR;
}

/* ---- starting ---- */

void admission_fail(struct admission *a, admission_code code)
{
    a->state = ADMISSION_FAILED;
    a->last_code = code;
    admission_emit(a, ADMISSION_OUT_FAILED)->failed.code = code;
    admission_trace(a, MN_EV_JOIN_REFUSED, NULL, (uint64_t)code, 0, admission_code_name(code));
}

/* A token given to a node that has its state is ignored, unless it is of another mesh. */
static void admission_compare_token(struct admission *a, const struct token *token)
{
    if (!token_has_pin(token)) return;
    if (authority_chain_find(&a->chain, token->pin) == NULL) admission_fail(a, CODE(MESH_MISMATCH));
}

static void admission_take_token(struct admission *a, const struct token *token)
{
    a->joining.has_pin = token_has_pin(token);
    memcpy(a->joining.pin, token->pin, sizeof a->joining.pin);
    a->joining.has_secret = token->has_secret;
    if (token->has_secret) token_key(token, &a->joining.token);
}

void admission_on_join_input(struct admission *a, const struct admission_input *input)
{
    struct token token = {.has_secret = false};
    bool has_token = input->join.token.size > 0;

    a->joining.seeds_count = input->join.seeds_count;
    if (has_token && token_decode(input->join.token, &token) != MN_OK) {
        if (a->state == ADMISSION_EMPTY) admission_fail(a, CODE(TOKEN_UNKNOWN));
        return;
    }
    if (a->state == ADMISSION_EMPTY) {
        a->joining.is_known = input->join.is_known;
        if (has_token) admission_take_token(a, &token);
        admission_start_joining(a);
    } else if (a->state == ADMISSION_MEMBER && has_token) {
        admission_compare_token(a, &token);
    }
    token_done(&token);
}

void admission_start_joining(struct admission *a)
{
    a->state = ADMISSION_JOINING;
    admission_trace(a, MN_EV_JOIN_STARTED, NULL, 0, 0, NULL);
}

static void admission_send_ask(struct admission *a, struct channel *channel, const uint8_t *pin,
                               const mn_id *token_id)
{
    Meshnode__Trust__Admission message = MESHNODE__TRUST__ADMISSION__INIT;
    Meshnode__Trust__Ask ask = MESHNODE__TRUST__ASK__INIT;

    if (pin != NULL) ask.pin = pb_bytes(mn_span(pin, DIGEST_PIN_SIZE));
    if (token_id != NULL) ask.token_id = pb_id_bytes(token_id);
    message.what_case = MESHNODE__TRUST__ADMISSION__WHAT_ASK;
    message.ask = &ask;
    admission_send(a, channel->id, &message, false);
}

void admission_pull_chain(struct admission *a, struct channel *channel)
{
    const uint8_t *pin = channel->peer.pin;

    const struct authority *known;

    if (a->state != ADMISSION_MEMBER || sodium_is_zero(pin, DIGEST_PIN_SIZE)) return;
    known = authority_chain_find(&a->chain, pin);
    if (known == authority_chain_head(&a->chain)) return;
    if (known != NULL) { /* it is behind */
        admission_send_chain(a, channel, (uint32_t)(known->version - a->chain.items[0]->version),
                             NULL, false);
        return;
    }
    admission_send_ask(a, channel, authority_pin(authority_chain_head(&a->chain)), NULL);
}

void admission_on_pull(struct admission *a, const mn_id *node_id)
{
    if (a->state != ADMISSION_MEMBER) return;
    MN_LIST_FOR_EACH (at, &a->links_all) {
        struct channel *channel = MN_CONTAINER(at, struct channel, all);
        if (channel->peer.kind != ADMISSION_LINK_MEMBER || channel->is_closing) continue;
        if (!mn_id_equal(&channel->peer.node_id, node_id)) continue;
        admission_send_ask(a, channel, authority_pin(authority_chain_head(&a->chain)), NULL);
        return;
    }
}

/* The handshake proved who refuses; what an issuer says of us it could also sign. */
static bool admission_is_issuers(const struct admission *a, const mn_id *node_id)
{
    const struct authority *head = authority_chain_head(&a->chain);

    for (uint32_t i = 0; i < head->issuers_count; i++) {
        mn_id issuer = digest_node_id(head->issuers[i]);
        if (mn_id_equal(&issuer, node_id)) return true;
    }
    return false;
}

/* Others cannot make us doubt ourselves while a member still takes us for one. */
void admission_on_behind(struct admission *a, const mn_id *refused_by)
{
    bool is_alone = true;

    if (a->state != ADMISSION_MEMBER) return;
    MN_LIST_FOR_EACH (at, &a->links_all) {
        const struct channel *channel = MN_CONTAINER(at, struct channel, all);
        if (channel->peer.kind == ADMISSION_LINK_MEMBER && !channel->is_closing) is_alone = false;
    }
    if (!is_alone && !admission_is_issuers(a, refused_by)) return;
    MN_PROBE("admission: behind the authority, in again as a guest");
    admission_renew_as_guest(a);
}

/* ---- judging a seed ---- */

/* The timer serves two purposes; the earlier one wins, and sees to the other when it fires. */
static void admission_arm_join_timer(struct admission *a, mn_time at)
{
    const struct mn_heap_entry *entry = &a->join_timer.entry;

    if (entry->index_plus_one == 0 || at < entry->at) admission_set_timer(a, &a->join_timer, at);
}

/* Of another mesh than our token's; final once all seeds of the list have been for a while. */
static void admission_note_mismatch(struct admission *a, const mn_id *node)
{
    struct joining *joining = &a->joining;

    a->last_code = CODE(MESH_MISMATCH);
    if (joining->mismatch_since == 0) joining->mismatch_since = a->now.mono;
    for (uint32_t i = 0; i < joining->mismatched_count; i++)
        if (mn_id_equal(&joining->mismatched[i], node)) return;
    if (joining->mismatched_count < ADMISSION_MISMATCH_MAX)
        joining->mismatched[joining->mismatched_count++] = *node;
    admission_arm_join_timer(a, mn_time_after(joining->mismatch_since, ADMISSION_GIVE_UP));
}

static bool admission_mismatch_is_final(const struct admission *a)
{
    const struct joining *joining = &a->joining;

    if (joining->mismatch_since == 0 || joining->seeds_count == 0) return false;
    return joining->mismatched_count >= joining->seeds_count &&
           a->now.mono - joining->mismatch_since >= ADMISSION_GIVE_UP;
}

/* The seed is not what it should be; that costs it, not us. */
static void admission_drop_seed(struct admission *a, struct channel *channel, mn_status status)
{
    a->counts.chains_refused++;
    if (status == MN_WRONG_MESH) admission_note_mismatch(a, &channel->peer.node_id);
    admission_trace(a, MN_EV_JOIN_REFUSED, &channel->peer.node_id, (uint64_t)-status, 0,
                    status == MN_WRONG_MESH ? "not the mesh of the token" : "seed not believed");
    mn_heap_remove(&a->timers, &channel->timer.entry);
    admission_close(a, channel, status);
}

/* One that was a member before knows its mesh by name. */
static bool admission_is_foreign(const struct admission *a, const struct channel *channel)
{
    mn_id mesh_id = admission_mesh_id(a);

    return !mn_id_is_zero(&mesh_id) && !mn_id_is_zero(&channel->peer.mesh_id) &&
           !mn_id_equal(&mesh_id, &channel->peer.mesh_id);
}

void admission_on_sponsor_up(struct admission *a, struct channel *channel)
{
    const struct joining *joining = &a->joining;
    bool wants_found = joining->has_secret && !joining->has_pin;
    mn_id token_id;

    if (a->state != ADMISSION_JOINING) {
        admission_close(a, channel, MN_STATE);
        return;
    }
    if (admission_is_foreign(a, channel)) {
        admission_drop_seed(a, channel, MN_WRONG_MESH);
        return;
    }
    if (wants_found) token_id = digest_token_id(joining->token.pk);
    admission_send_ask(a, channel, joining->has_pin ? joining->pin : NULL,
                       wants_found ? &token_id : NULL);
    admission_set_timer(a, &channel->timer, mn_time_after(a->now.mono, ADMISSION_ASK_TIMEOUT));
}

/* The pin to look for: the token's own, or the one the token vouches for in its Found. */
static mn_status admission_expected_pin(struct admission *a, struct channel *channel,
                                        uint8_t ret[DIGEST_PIN_SIZE], bool *ret_has)
{
    struct invite_found found;

    *ret_has = true;
    if (a->joining.has_pin) {
        memcpy(ret, a->joining.pin, DIGEST_PIN_SIZE);
        return MN_OK;
    }
    *ret_has = false;
    if (!a->joining.has_secret) return MN_OK; /* enters whichever mesh takes it */
    if (invite_found_check(mn_buf_span(channel->found), a->joining.token.pk, &found) != MN_OK)
        return MN_WRONG_MESH; /* never registered there */
    memcpy(ret, found.genesis_pin, DIGEST_PIN_SIZE);
    *ret_has = true;
    return MN_OK;
}

/* Is this a chain from a genesis or from the pinned document, with the pin among its documents? */
static mn_status admission_check_chain(struct admission *a, struct channel *channel)
{
    const struct authority *first = channel->chain.items[0];
    uint8_t pin[DIGEST_PIN_SIZE];
    bool has_pin;
    mn_status status = admission_expected_pin(a, channel, pin, &has_pin);

    if (status != MN_OK) return status;
    if (first->version == 1)
        status = authority_check_genesis(first);
    else if (!has_pin || memcmp(authority_pin(first), pin, DIGEST_PIN_SIZE) != 0)
        status = MN_WRONG_MESH;
    if (status != MN_OK) return status;
    if (has_pin && authority_chain_find(&channel->chain, pin) == NULL) return MN_WRONG_MESH;
    return MN_OK;
}

static mn_status admission_check_sponsor_grant(struct admission *a, struct channel *channel)
{
    const struct authority *head = authority_chain_head(&channel->chain);
    struct grant grant;
    mn_status status = grant_decode(mn_buf_span(channel->grant), &grant);

    if (status != MN_OK) return status;
    if (memcmp(grant.sign_pk, channel->peer.sign_pk, SIGN_PK_SIZE) != 0) return MN_DENIED;
    status = grant_check(&grant, head, a->config.revoked, mn_wall_ms(a->now));
    if (status == MN_NOT_YET || status == MN_EXPIRED) {
        uint64_t ours = mn_wall_ms(a->now), theirs = channel->peer.wall_ms;
        admission_trace(a, MN_EV_CLOCK_ALARM, &channel->peer.node_id,
                        ours > theirs ? ours - theirs : theirs - ours, 0,
                        ours > theirs ? "our clock is ahead of the seed" : "our clock is behind");
        if (authority_chain_head(&a->chain) != NULL)
            admission_on_clock_input(a, &channel->peer.node_id, theirs);
    }
    return status;
}

/* ---- JOIN ---- */

void admission_send_join(struct admission *a, struct channel *channel, const mn_id *mesh_id,
                         bool is_renewal)
{
    Meshnode__Trust__Admission message = MESHNODE__TRUST__ADMISSION__INIT;
    struct invite_join join = {.mesh_id = *mesh_id,
                               .role = a->config.role,
                               .nonce = rng_id(&a->rng),
                               .is_renewal = is_renewal,
                               .grant =
                                   is_renewal ? mn_buf_span(a->grant_bytes) : mn_span(NULL, 0)};
    bool with_token = !is_renewal && a->joining.has_secret;
    struct mn_buf *bytes;

    memcpy(join.name, a->name, sizeof join.name);
    memcpy(join.region, a->region, sizeof join.region);
    memcpy(join.handshake, channel->peer.handshake, sizeof join.handshake);
    bytes = invite_join_make(&join, a->config.self, with_token ? &a->joining.token : NULL);
    message.what_case = MESHNODE__TRUST__ADMISSION__WHAT_JOIN;
    message.join = pb_bytes(mn_buf_span(bytes));
    admission_send(a, channel->id, &message, false);
    mn_buf_unref(bytes);
}

/* One that knows our key and has no token to show asks for the grant that the mesh holds for it. */
static bool admission_joins_by_renewal(const struct admission *a)
{
    return a->joining.is_known && !a->joining.has_secret;
}

static void admission_try_join(struct admission *a)
{
    if (a->state != ADMISSION_JOINING || a->joining.link != 0) return;
    if (a->now.mono < a->joining.retry_at) return;
    MN_LIST_FOR_EACH (at, &a->links_all) {
        struct channel *channel = MN_CONTAINER(at, struct channel, all);
        if (!is_sponsor(channel) || !channel->is_verified) continue;
        a->joining.link = channel->id;
        admission_set_timer(a, &channel->timer, mn_time_after(a->now.mono, ADMISSION_JOIN_TIMEOUT));
        admission_send_join(a, channel, &authority_chain_head(&channel->chain)->mesh_id,
                            admission_joins_by_renewal(a));
        return;
    }
}

static void admission_back_off(struct admission *a)
{
    struct joining *joining = &a->joining;
    mn_time delay = ADMISSION_RETRY_MAX;

    if (joining->retries < 5) delay = ADMISSION_RETRY_MIN << joining->retries;
    joining->retries++;
    delay = delay / 2 + rng_below_u64(&a->rng, delay / 2 + 1);
    if (delay < ADMISSION_RETRY_MIN) delay = ADMISSION_RETRY_MIN;
    joining->retry_at = mn_time_after(a->now.mono, delay);
    admission_arm_join_timer(a, joining->retry_at);
}

void admission_on_join_timer(struct admission *a)
{
    struct joining *joining = &a->joining;
    mn_time give_up_at;

    if (a->state != ADMISSION_JOINING) return;
    if (admission_mismatch_is_final(a)) {
        admission_fail(a, CODE(MESH_MISMATCH));
        return;
    }
    if (a->now.mono < joining->retry_at) {
        admission_arm_join_timer(a, joining->retry_at);
        return;
    }
    admission_try_join(a);
    give_up_at = mn_time_after(joining->mismatch_since, ADMISSION_GIVE_UP);
    if (joining->mismatch_since != 0 && give_up_at > a->now.mono)
        admission_arm_join_timer(a, give_up_at);
}

void admission_on_channel_timer(struct admission *a, struct channel *channel)
{
    if (a->joining.link == channel->id) a->joining.link = 0;
    channel->is_verified = false;
    admission_close(a, channel, MN_TIMEOUT);
    admission_try_join(a);
}

void admission_on_sponsor_down(struct admission *a, struct channel *channel)
{
    channel->is_verified = false;
    if (a->joining.link != channel->id) return;
    a->joining.link = 0;
    admission_try_join(a);
}

/* ---- becoming a member ---- */

/* Other seeds know us as a guest: those links start again as links between members. */
static void admission_close_sponsors(struct admission *a, const struct channel *but)
{
    MN_LIST_FOR_EACH (at, &a->links_all) {
        struct channel *channel = MN_CONTAINER(at, struct channel, all);
        mn_heap_remove(&a->timers, &channel->timer.entry);
        if (channel == but || !is_sponsor(channel)) continue;
        channel->is_verified = false;
        admission_close(a, channel, MN_CLOSED);
    }
}

/* A node that was a member before goes on with the chain it has. */
static bool admission_continue_chain(struct admission *a, const struct authority_chain *shown)
{
    if (authority_chain_find(&a->chain, authority_pin(shown->items[0])) == NULL) return false;
    for (uint32_t i = 1; i < shown->count; i++)
        if (authority_chain_add(&a->chain, mn_buf_span(shown->items[i]->document)) != MN_OK)
            return false;
    return true;
}

static void admission_adopt_chain(struct admission *a, struct channel *channel)
{
    if (admission_continue_chain(a, &channel->chain)) {
        admission_store_chain(a, 0);
        return;
    }
    authority_chain_done(&a->chain);
    a->chain = channel->chain;
    authority_chain_init(&channel->chain);
    admission_store_chain(a, 0);
}

static void admission_become_member(struct admission *a, struct channel *channel)
{
    struct admission_output *output;

    sodium_memzero(&a->joining, sizeof a->joining);
    a->joining.is_known = true;
    mn_heap_remove(&a->timers, &a->join_timer.entry);
    admission_close_sponsors(a, channel);
    if (channel != NULL) channel->peer.kind = ADMISSION_LINK_MEMBER;
    a->state = ADMISSION_MEMBER;
    a->last_code = CODE(NONE);
    output = admission_emit(a, ADMISSION_OUT_JOINED);
    output->joined.link = channel == NULL ? 0 : channel->id;
    output->after_write = true;
    admission_trace(a, MN_EV_JOIN_DONE, &a->config.self->node_id, 0, 0, a->grant.name);
}

/* An issuer that lost its disk needs nobody's grant but its own; the chain names its key. */
static bool admission_may_issue_to_self(const struct admission *a, const struct channel *channel)
{
    return a->joining.is_known &&
           authority_is_issuer(authority_chain_head(&channel->chain), a->config.self->key.pk);
}

static void admission_on_verified(struct admission *a, struct channel *channel)
{
    const struct authority *head = authority_chain_head(&channel->chain);

    mn_heap_remove(&a->timers, &channel->timer.entry);
    channel->is_verified = true;
    a->joining.mismatch_since = 0;
    a->joining.mismatched_count = 0;
    if (head->dev != a->config.dev) {
        admission_fail(a, CODE(DEV_MISMATCH));
        return;
    }
    if (admission_may_issue_to_self(a, channel)) {
        admission_adopt_chain(a, channel);
        admission_issue_to_self(a, VIA(RENEW));
        /* The seed knows us as a guest still: this link, too, starts again. */
        admission_become_member(a, NULL);
        return;
    }
    admission_try_join(a);
}

/* ---- AUTHORITY ---- */

/* Adds the documents of one message to the chain that this seed shows. */
static mn_status admission_collect_chain(struct channel *channel,
                                         const Meshnode__Trust__AuthorityChain *message)
{
    mn_status status = MN_OK;

    for (size_t i = 0; i < message->n_documents && status == MN_OK; i++) {
        struct mn_span document = pb_span(message->documents[i]);
        if (channel->chain.count == 0)
            status = authority_chain_start(&channel->chain, document);
        else
            status = authority_chain_add(&channel->chain, document);
    }
    if (message->found.len > 0 && channel->found == NULL)
        channel->found = mn_buf_copy(pb_span(message->found));
    return status;
}

static void admission_judge_seed(struct admission *a, struct channel *channel,
                                 const Meshnode__Trust__AuthorityChain *message)
{
    mn_status status;

    if (channel->is_verified) return; /* shown twice: asked for, and before a refusal */
    status = admission_collect_chain(channel, message);
    if (status == MN_OK && message->more) return;
    if (status == MN_OK && channel->chain.count == 0) status = MN_MALFORMED;
    if (status == MN_OK) status = admission_check_chain(a, channel);
    if (status == MN_OK) status = admission_check_sponsor_grant(a, channel);
    if (status == MN_OK)
        admission_on_verified(a, channel);
    else
        admission_drop_seed(a, channel, status);
}

/* A member learns documents that it does not have yet; never other than the next ones. */
static void admission_extend_chain(struct admission *a, struct channel *channel,
                                   const Meshnode__Trust__AuthorityChain *message)
{
    uint8_t before[AUTHORITY_HASH_SIZE];
    mn_status status = MN_OK;

    memcpy(before, authority_chain_head(&a->chain)->hash, sizeof before);
    for (size_t i = 0; i < message->n_documents && status == MN_OK; i++)
        status = authority_chain_add(&a->chain, pb_span(message->documents[i]));
    if (status == MN_EXISTS) {
        a->counts.forks++;
        admission_trace(a, MN_EV_AUTHORITY_FORK, &channel->peer.node_id,
                        authority_chain_head(&a->chain)->version, 0, NULL);
    } else if (status != MN_OK && status != MN_STATE && status != MN_FULL) {
        admission_on_malformed(a, channel, status);
    }
    if (memcmp(before, authority_chain_head(&a->chain)->hash, sizeof before) == 0) return;
    admission_on_new_head(a, channel->id);
}

void admission_on_authority(struct admission *a, struct channel *channel,
                            const Meshnode__Trust__AuthorityChain *message)
{
    if (a->state == ADMISSION_JOINING && is_sponsor(channel))
        admission_judge_seed(a, channel, message);
    else if (a->state == ADMISSION_MEMBER && channel->peer.kind == ADMISSION_LINK_MEMBER)
        admission_extend_chain(a, channel, message);
}

/* ---- GRANTED, REFUSED ---- */

static void admission_keep_founds(struct admission *a, const Meshnode__Trust__Granted *message)
{
    for (size_t i = 0; i < message->n_founds && i < ADMISSION_FOUNDS_MAX; i++)
        admission_keep_found(a, pb_span(message->founds[i]->token_pk),
                             pb_span(message->founds[i]->found), true);
}

static void admission_on_joined(struct admission *a, struct channel *channel,
                                const Meshnode__Trust__Granted *message)
{
    struct mn_span bytes = pb_span(message->grant);
    mn_status status;

    if (a->joining.link != channel->id) return; /* not asked for */
    status = admission_check_own(a, authority_chain_head(&channel->chain), bytes);
    if (status != MN_OK) {
        a->joining.link = 0;
        channel->is_verified = false;
        admission_trace(a, MN_EV_GRANT_REFUSED, &channel->peer.node_id, (uint64_t)-status, 0,
                        "own");
        admission_drop_seed(a, channel, status);
        admission_try_join(a);
        return;
    }
    admission_adopt_chain(a, channel);
    admission_adopt_grant(a, bytes);
    admission_keep_founds(a, message);
    admission_become_member(a, channel);
}

void admission_on_granted(struct admission *a, struct channel *channel,
                          const Meshnode__Trust__Granted *message)
{
    if (a->state == ADMISSION_JOINING && is_sponsor(channel))
        admission_on_joined(a, channel, message);
    else if (a->state == ADMISSION_MEMBER && channel->peer.kind == ADMISSION_LINK_MEMBER)
        admission_on_renewed(a, message);
}

/* A name held by a live node may come free; not for ever. */
static bool admission_name_wait_is_over(struct admission *a, admission_code code)
{
    mn_time *since = &a->joining.name_taken_since;

    if (code != CODE(NAME_TAKEN)) {
        *since = 0;
        return false;
    }
    if (*since == 0) *since = a->now.mono;
    return a->now.mono - *since >= ADMISSION_GIVE_UP;
}

/* It waits for people on this link, however long they take; when the link is lost, on another. */
static void admission_on_pending(struct admission *a, struct channel *channel)
{
    const struct authority *head = authority_chain_head(&channel->chain);
    char words[WORDS_TEXT_SIZE];

    if (a->joining.link != channel->id) return; /* not asked for */
    mn_heap_remove(&a->timers, &channel->timer.entry);
    a->joining.retries = 0;
    a->joining.name_taken_since = 0;
    if (a->joining.is_pending) return;
    a->joining.is_pending = true;
    admission_trace(a, MN_EV_JOIN_PENDING, &a->config.self->node_id, 0, 0,
                    words_of(mn_span(a->config.self->key.pk, SIGN_PK_SIZE), words));
    admission_trace(a, MN_EV_JOIN_MESH_WORDS, &head->mesh_id, 0, 0,
                    words_of(mn_span(authority_pin(head), DIGEST_PIN_SIZE), words));
}

static void admission_on_join_refused(struct admission *a, struct channel *channel,
                                      admission_code code)
{
    a->last_code = code;
    if (!channel->is_verified) {
        /* Whoever has not proved the mesh cannot send us away for good. */
        admission_drop_seed(a, channel, MN_DENIED);
        return;
    }
    if (code == CODE(PENDING)) {
        admission_on_pending(a, channel);
        return;
    }
    a->joining.is_pending = false;
    if (admission_code_is_final(code) || admission_name_wait_is_over(a, code)) {
        admission_fail(a, code);
        return;
    }
    admission_trace(a, MN_EV_JOIN_REFUSED, &channel->peer.node_id, (uint64_t)code, 0,
                    admission_code_name(code));
    if (a->joining.link == channel->id) a->joining.link = 0;
    mn_heap_remove(&a->timers, &channel->timer.entry);
    /* Next time another seed comes first: this one may be cut off from the issuers. */
    mn_list_remove(&channel->all);
    mn_list_push_back(&a->links_all, &channel->all);
    admission_back_off(a);
}

static bool admission_has_other_member(const struct admission *a, const struct channel *channel)
{
    MN_LIST_FOR_EACH (at, &a->links_all) {
        const struct channel *other = MN_CONTAINER(at, struct channel, all);
        if (other == channel || other->is_closing) continue;
        if (other->peer.kind == ADMISSION_LINK_MEMBER) return true;
    }
    return false;
}

/* Somebody else runs with our key, says a member. One bad member must not stop us by saying so:
 * while another one takes us for who we are, it is only reported. */
static void admission_on_member_refused(struct admission *a, struct channel *channel,
                                        admission_code code)
{
    if (code != CODE(IDENTITY_IN_USE)) return; /* a renewal that did not work out: later again */
    admission_trace(a, MN_EV_IDENTITY_IN_USE, &channel->peer.node_id, 0, 0, NULL);
    if (!admission_has_other_member(a, channel)) admission_fail(a, code);
}

void admission_on_refused(struct admission *a, struct channel *channel, admission_code code)
{
    if (code == CODE(NONE)) return;
    if (a->state == ADMISSION_JOINING && is_sponsor(channel))
        admission_on_join_refused(a, channel, code);
    else if (a->state == ADMISSION_MEMBER && channel->peer.kind == ADMISSION_LINK_MEMBER)
        admission_on_member_refused(a, channel, code);
}

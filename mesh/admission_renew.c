/* The renewal of a member's grant: the same JOIN, over a link between members and under a tag of
 * its own, from half of the grant's life on. An issuer renews its own by itself. */
#include "mesh/admission_internal.h"
#include "proto/base/check.h"
#include "proto/pb.h"

mn_status admission_check_own(struct admission *a, const struct authority *head,
                              struct mn_span bytes)
{
    struct grant grant;
    mn_status status = grant_decode(bytes, &grant);

    if (status != MN_OK) return status;
    if (memcmp(grant.sign_pk, a->config.self->key.pk, SIGN_PK_SIZE) != 0) return MN_DENIED;
    return grant_check(&grant, head, a->config.revoked, mn_wall_ms(a->now));
}

void admission_on_renewed(struct admission *a, const Meshnode__Trust__Granted *message)
{
    struct mn_span bytes = pb_span(message->grant);
    mn_status status = admission_check_own(a, authority_chain_head(&a->chain), bytes);

    if (status != MN_OK) {
        admission_trace(a, MN_EV_GRANT_REFUSED, &a->config.self->node_id, (uint64_t)-status, 0,
                        "renewal");
        return;
    }
    if (mn_span_equal(bytes, mn_buf_span(a->grant_bytes))) return;
    a->counts.renewals++;
    admission_adopt_grant(a, bytes);
    admission_emit(a, ADMISSION_OUT_RENEWED)->after_write = true;
    admission_set_timer(a, &a->upkeep_timer, a->now.mono); /* works out when the next is due */
}

/* From half life on, plus up to a tenth so that a mesh founded at once does not renew at once. */
static uint64_t admission_renewal_due_ms(struct admission *a)
{
    uint64_t life = a->grant.not_after_ms - a->grant.not_before_ms;
    uint64_t jitter = mn_load_u64(a->config.self->node_id.bytes) % (life / 10 + 1);

    if (mn_wall_ms(a->now) < a->grant.not_before_ms) return 0; /* made by a clock that was ahead */
    return a->grant.not_before_ms + life / 2 + (admission_is_issuer(a) ? 0 : jitter);
}

/* A member to ask: an issuer when we have a link to one, else any, which forwards. */
static struct channel *admission_renewal_link(struct admission *a)
{
    const struct authority *head = authority_chain_head(&a->chain);
    struct channel *any = NULL;

    MN_LIST_FOR_EACH (at, &a->links_all) {
        struct channel *channel = MN_CONTAINER(at, struct channel, all);
        if (channel->peer.kind != ADMISSION_LINK_MEMBER) continue;
        if (authority_is_issuer(head, channel->peer.sign_pk)) return channel;
        any = channel;
    }
    return any;
}

static void admission_renew(struct admission *a)
{
    const struct authority *head = authority_chain_head(&a->chain);
    struct channel *channel;

    if (admission_is_issuer(a)) {
        admission_issue_to_self(a, VIA(RENEW));
        a->counts.renewals++;
        admission_emit(a, ADMISSION_OUT_RENEWED)->after_write = true;
        return;
    }
    channel = admission_renewal_link(a);
    if (channel != NULL) admission_send_join(a, channel, &head->mesh_id, true);
}

/* Ended, or not begun: it is of no use now. */
static bool admission_grant_is_idle(struct admission *a)
{
    mn_status status = grant_check(&a->grant, authority_chain_head(&a->chain), a->config.revoked,
                                   mn_wall_ms(a->now));

    return status == MN_EXPIRED || status == MN_NOT_YET;
}

/* Nobody takes us for a member any more, but the mesh knows our key: back in as a guest. */
void admission_renew_as_guest(struct admission *a)
{
    memcpy(a->joining.pin, authority_pin(authority_chain_head(&a->chain)), DIGEST_PIN_SIZE);
    a->joining.has_pin = true;
    a->joining.is_known = true;
    admission_start_joining(a);
}

mn_time admission_renew_if_due(struct admission *a)
{
    uint64_t wall_ms = mn_wall_ms(a->now), due_ms;

    if (a->state != ADMISSION_MEMBER) return MN_TIME_NEVER;
    due_ms = admission_renewal_due_ms(a);
    if (wall_ms >= due_ms) {
        admission_renew(a);
        if (!admission_is_issuer(a) && admission_grant_is_idle(a)) admission_renew_as_guest(a);
        return mn_time_after(a->now.mono, ADMISSION_UPKEEP);
    }
    if (due_ms - wall_ms > ADMISSION_UPKEEP / MN_MS) return MN_TIME_NEVER; /* upkeep comes first */
    return mn_time_after(a->now.mono, (due_ms - wall_ms) * MN_MS);
}

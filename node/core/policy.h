/* policy.h: how a node votes by itself: rules that its operator wrote, on its own metrics. Without
 * a rule that applies, or if a number that it asks for is not known, there is no vote.
 *
 *   TOPIC [is VALUE] VOTE [if CONDITION [and CONDITION]...] [else VOTE]
 *
 *   deploy-*  yes if load < 32 and failures <= 0.01 else no
 *   scale-*   no if value > 8
 *   mode is maintenance  abstain
 *
 * TOPIC and VALUE may have * for any characters; VOTE is yes, no or abstain; a CONDITION is a
 * metric (consensus/metrics.h), or `value`, the proposed value as a number, then <, <=, >, >=, = or
 * !=, and a number. Words stand apart. The first rule whose TOPIC and VALUE fit is the one that
 * applies; where its conditions do not hold and it has no else, there is no vote. Pure. */
#ifndef POLICY_H
#define POLICY_H

#include "consensus/decision.h"
#include "consensus/metrics.h"

#define POLICY_RULES_MAX 64u
#define POLICY_CONDITIONS_MAX 8u
#define POLICY_RULE_MAX ((size_t)512) /* bytes */

enum policy_operator { POLICY_LT = 1, POLICY_LE, POLICY_GT, POLICY_GE, POLICY_EQ, POLICY_NE };

struct policy_condition {
    enum metric metric; /* METRIC_COUNT: the value */
    enum policy_operator compare;
    double number;
};

struct policy_rule {
    struct mn_span text, topic, value;    /* in what was parsed; value of no size: any */
    enum decision_choice then, otherwise; /* otherwise: NONE if there is no else */
    struct policy_condition conditions[POLICY_CONDITIONS_MAX];
    uint32_t conditions_count;
};

/* MN_CONFIG, and then *ret_why says what is wrong. [text] must outlive [ret]. */
MN_MUST_USE mn_status policy_parse(struct mn_span text, struct policy_rule *ret,
                                   const char **ret_why);

/* Do its conditions hold? Unknown numbers make *ret_is_known false. */
bool policy_holds(const struct policy_rule *rule, struct mn_span value,
                  const struct metrics *metrics, bool *ret_is_known);

/* NONE: no vote. */
enum decision_choice policy_vote(const struct policy_rule *rules, uint32_t count,
                                 struct mn_span topic, struct mn_span value,
                                 const struct metrics *metrics);

#endif

/* decision_records.h: what a decision core has on disk, as tests keep it: of one kind, id and part
 * the newest counts. */
#ifndef DECISION_RECORDS_H
#define DECISION_RECORDS_H

#include <string.h>

#include "consensus/decision.h"

#define RECORDS_MAX 512u

struct decision_records {
    struct {
        enum decision_record what;
        mn_id id;
        uint32_t part;
        struct mn_buf *buf;
    } items[RECORDS_MAX];
    uint32_t count;
};

/* Takes a DECISION_OUT_PERSIST. False: there is no room. */
static inline bool decision_records_take(struct decision_records *records,
                                         const struct decision_output *out)
{
    uint32_t at = 0;

    while (at < records->count && (records->items[at].what != out->persist.what ||
                                   records->items[at].part != out->persist.part ||
                                   !mn_id_equal(&records->items[at].id, &out->persist.id)))
        at++;
    if (at < records->count) {
        mn_buf_unref(records->items[at].buf);
        records->count--;
        memmove(&records->items[at], &records->items[at + 1],
                (records->count - at) * sizeof records->items[0]);
    }
    if (out->persist.record == NULL) return true;
    if (records->count == RECORDS_MAX) return false;
    records->items[records->count].what = out->persist.what;
    records->items[records->count].part = out->persist.part;
    records->items[records->count].id = out->persist.id;
    records->items[records->count++].buf = mn_buf_ref(out->persist.record);
    return true;
}

/* As decision_new() reads them. */
static inline uint32_t decision_records_spans(const struct decision_records *records,
                                              struct mn_span ret[RECORDS_MAX])
{
    for (uint32_t i = 0; i < records->count; i++)
        ret[i] = mn_buf_span(records->items[i].buf);
    return records->count;
}

static inline void decision_records_done(struct decision_records *records)
{
    while (records->count > 0)
        mn_buf_unref(records->items[--records->count].buf);
}

#endif

/* line.h: cuts the byte stream of a child into lines: "\n" or "\r\n" ends one, blank ones are
 * skipped. A line that lies in one piece is copied once, into the buffer it is parsed from. */
#ifndef LINE_H
#define LINE_H

#include <stddef.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"

struct line {
    struct mn_writer partial; /* what came of the line that is not finished yet */
    size_t size_max;          /* bytes of one line, its "\n" not counted */
};

enum line_result {
    LINE_MORE = 0, /* all bytes were taken; the next line is not complete */
    LINE_READY,    /* *ret is a line without its end, never empty; the caller owns its ref */
    LINE_TOO_LONG  /* over size_max: what came of it is dropped, its rest comes as a line of its own
                    */
};

void line_init(struct line *line, size_t size_max);
void line_done(struct line *line);

/* Takes the next line off the front of *[bytes]; called again until it says LINE_MORE. */
enum line_result line_next(struct line *line, struct mn_span *bytes, struct mn_buf **ret);

/* The stream ended: its last line, when the end of it is missing; else NULL. */
struct mn_buf *line_last(struct line *line);

#endif

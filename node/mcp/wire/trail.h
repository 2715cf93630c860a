/* trail.h: the nodes that a call has left for a server of theirs, so that a mesh which is attached
 * to itself is noticed: ids in a header of its request, blanks or commas between them. */
#ifndef TRAIL_H
#define TRAIL_H

#define TRAIL_HEADER "meshnode-trail"
#define TRAIL_MAX 16 /* ids; a call that has come so far goes no further */

#endif

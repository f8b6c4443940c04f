/* Two kinds of wrong. A bad request or a full disk is a returned status_t (status.h). A broken
 * belief of ours is an INVARIANT: it stays in release builds, says where, and aborts; the journal
 * brings the process back with every answered operation in place. */
#ifndef CHECKLANE_INVARIANT_H
#define CHECKLANE_INVARIANT_H

#include <stdio.h>
#include <stdlib.h>

#define INVARIANT(belief)                                                                     \
    do {                                                                                      \
        if (__builtin_expect(!(belief), 0)) invariant_broken(#belief, __FILE__, __LINE__);     \
    } while (0)

static inline __attribute__((noreturn, cold)) void invariant_broken(const char *belief,
                                                                    const char *file, int line)
{
    fprintf(stderr, "checklane: broken invariant at %s:%d: %s\n", file, line, belief);
    abort();
}

#endif

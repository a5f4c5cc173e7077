// The embedded echo servers' wires in the runtime's own loop: what the others are compared with.
#include "echo.hpp"

int main(int argc, char** argv) {
    wire::runtime rt;
    embed::echo_service service(rt, embed::port_in(argc, argv));
    wire::io::reactor reactor(rt);
    return rt.run() ? 0 : 1;
}

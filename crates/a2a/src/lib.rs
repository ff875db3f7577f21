//! A2A 1.0 on the wire: messages, client and server stubs, agent card, errors.

"""What an operation of Mixpanel is, how an API declares its own, and what all of them share: checks, replies, docs."""

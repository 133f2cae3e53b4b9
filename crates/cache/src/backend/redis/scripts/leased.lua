-- Whether the lease of a key (ARGV[4]) with a token (ARGV[5]) is open: the milliseconds left, 0 where it is not.
local token, ends = lease_of(ARGV[4])
return token == ARGV[5] and ends - now or 0

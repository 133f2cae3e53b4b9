-- Ends the lease of a key (ARGV[4]) with a token (ARGV[5]) and says whether it was open.
if lease_of(ARGV[4]) ~= ARGV[5] then return 0 end
end_lease(ARGV[4])
return 1

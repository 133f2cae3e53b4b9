-- Removes up to ARGV[4] entries that expired or were cleared. Says how many.
return reap(tonumber(ARGV[4]))

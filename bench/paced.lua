-- As wrk.lua, with clients that pause before each request, up to 100 ms: then an answer waits for others, and not for
-- the whole closed loop before it.
dofile((debug.getinfo(1, "S").source:sub(2):gsub("paced%.lua$", "wrk.lua")))

function delay()
   return math.random(0, 100)
end

# What the Makefiles of the example servers share: include it behind the rule that makes `server`.

# Every path does what the table in the README says.
check: server
	sh ./check.sh ./server

clean:
	rm -f server

.PHONY: check clean
